"""Write open_inference_pb2.py (and its types) from open_inference.proto: `python -m serving.grpc.generate`."""

import sys
from pathlib import Path

PROTO = Path(__file__).with_name("open_inference.proto")


def generate(folder: Path) -> None:
    """Into `folder`, which stands for the repository's root. Raises RuntimeError when the compiler refuses."""
    from grpc_tools import protoc

    root = PROTO.parents[2]
    options = [f"--proto_path={root}", f"--python_out={folder}", f"--pyi_out={folder}", str(PROTO)]
    if protoc.main(["protoc", *options]) != 0:
        raise RuntimeError(f"protoc could not compile {PROTO}")
    module = folder / PROTO.relative_to(root).with_name("open_inference_pb2.py")
    # A descriptor pool of its own: clients of this protocol bring messages of the same names, and one pool, which is
    # what a process has by default, refuses the second to come.
    module.write_text(module.read_text().replace("_descriptor_pool.Default()", "_descriptor_pool.DescriptorPool()"))


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTO.parents[2])
