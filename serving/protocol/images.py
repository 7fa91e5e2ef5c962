"""Image bytes to pixels, without trusting them: JPEG and PNG only, size known before anything is decoded."""

import warnings
from io import BytesIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from serving.protocol.errors import RequestError
from serving.protocol.tensors import Array

FORMATS = ("JPEG", "PNG")
# Up to these a picture is decoded in at most some 0.4 ms (noise as JPEG, the dearest, takes 25 ns a byte).
QUICK_BYTES = 16 * 2**10
QUICK_PIXELS = 128 * 128


def decode_image(body: bytes, *, max_pixels: int) -> Array:
    """The picture as uint8 (height, width, 3), transparency and other modes converted to RGB. Raises RequestError.

    Only the two decoders named in FORMATS are ever tried, and the header's size is held against `max_pixels` before
    the pixels are decompressed, so a decompression bomb costs no more than its header.
    """
    if not body:
        raise RequestError(400, "the body is empty; expected the bytes of a JPEG or PNG image")
    try:
        with Image.open(BytesIO(body), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise RequestError(
                    413, f"the image has {width}x{height} pixels, which is too many; expected at most {max_pixels}"
                )
            return np.asarray(image.convert("RGB"), dtype=np.uint8)
    except RequestError:
        raise
    except UnidentifiedImageError:
        raise RequestError(400, "the body is not an image; expected the bytes of a JPEG or PNG image") from None
    except Image.DecompressionBombError:  # Pillow's own limit, met in the header before ours can be
        raise RequestError(413, f"the image has too many pixels; expected at most {max_pixels}") from None
    except Exception as error:  # Pillow names no set for damaged files: fuzzing met even its AssertionErrors
        reason = str(error) or type(error).__name__
        raise RequestError(400, f"the image is damaged: {reason}; expected a whole JPEG or PNG image") from None


def is_quick(body: bytes) -> bool:
    """Whether `decode_image` takes well below a millisecond, by the body's length and the size in its header.

    The length alone does not tell: an even picture of many pixels is a small file.
    """
    if len(body) > QUICK_BYTES:
        return False
    try:
        with Image.open(BytesIO(body), formats=FORMATS) as image:
            return image.width * image.height <= QUICK_PIXELS
    except Exception:  # no header that can be read: it is refused at once
        return True


def silence_pillow() -> None:
    """Make this process deaf to Pillow's warnings. For servers: call once, at their start.

    Pillow warns of damaged files in words that differ from file to file, and Python keeps every one of them for ever.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
