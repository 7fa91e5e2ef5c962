"""Hand-written: FastAPI on uvicorn with orjson and nothing that is not needed. What a careful engineer would write.

uvicorn serving.bench.peers.fastapi_app:app --workers 2 --loop uvloop --http httptools --no-access-log
"""

import orjson
from fastapi import FastAPI, Request, Response

from serving.bench.peers.model import Model

app = FastAPI()
model = Model()


@app.post("/predict")
async def predict(request: Request) -> Response:
    """Rows by input name, arrays by output name."""
    answer = model.predict(orjson.loads(await request.body()))
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


@app.post("/v2/models/{name}/infer")
async def infer(request: Request) -> Response:
    """The same, as the open inference protocol has it."""
    answer = model.infer(orjson.loads(await request.body()))
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")
