"""The FEATURES payload: late boxes and quantised feature cells, in an order that may be cut anywhere.

Little-endian, no padding:

    offset  size  field
    0       2     z of the ground in the sender's frame, i16, centimetres
    2       2     number of boxes M, u16 (<= 512)
    4       13 M  boxes as late_boxes.py writes them, in the sender's order of priority
    4+13M   rest  chunks until the end

Chunks are those of chunks.py. Boxes come in the sender's order of priority, the cells of a layer best first,
and no part refers to another one: cut behind any box or chunk, the payload still has the best of what it had.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cosense.errors import counted
from cosense.messages.chunks import (
    LayerSpec,
    ReceivedLayer,
    Section,
    join_chunks,
    read_chunk,
    split_chunks,
    write_section,
)
from cosense.messages.envelope import (
    MAX_PAYLOAD_BYTES,
    Codec,
    PayloadKind,
    decode,
    encode,
    envelope_bytes,
    register,
)
from cosense.messages.fields import LARGEST_CENTIMETRES, MessageError
from cosense.messages.late_boxes import (
    LATE_BOX_BYTES,
    MAX_LATE_BOXES,
    LateBoxes,
    decode_late_boxes,
    encode_late_boxes,
)
from cosense.messages.signatures import CUT_SIGNATURE_BYTES, cut_signature

_HEADER = struct.Struct("<hH")
_GROUND_BYTES = 2
# Only the end of a section may be a small chunk, and a layer has one or two sections: each chunk takes time.
_MOST_SMALL_CHUNKS = 4
# Those of the largest map in all layers are fewer.
_MOST_CHUNKS = 512
EMPTY_FEATURES_BYTES = _HEADER.size
MAX_GROUND_M = LARGEST_CENTIMETRES / 100


@dataclass(frozen=True)
class FeaturesPayload:
    """Content of a FEATURES message.

    Attributes:
        ground_m: z of the ground in the sender's frame.
        boxes: late boxes in the frame of the sender, in its order of priority.
        chunks: feature cells; only who knows the sender's model can read them, see `layers`.
    """

    ground_m: float
    boxes: LateBoxes
    chunks: bytes = field(repr=False)

    def layers(self, specs: Sequence[LayerSpec], shape: tuple[int, int]) -> tuple[ReceivedLayer, ...]:
        """Read the feature cells.

        Args:
            specs: layers of the sender's model.
            shape: (H, W) of its pillar grid.

        Returns:
            one layer per spec, possibly without cells.

        Raises:
            MessageError: a chunk that does not end with the payload or unpack to its cells, or more cells
                or small chunks than a layer has.
        """
        received: list[list[ReceivedLayer]] = [[] for _ in specs]
        layer_cells = [spec.cells(shape) for spec in specs]
        # Over all chunks of a layer, so that many small deflate streams cannot inflate to more than one map.
        cells_left = list(layer_cells)
        small_left = [_MOST_SMALL_CHUNKS] * len(specs)
        for chunk in split_chunks(self.chunks):
            layer, count = chunk.layer, chunk.count
            if layer >= len(specs):
                raise MessageError(f"layer is {layer}, the model has {len(specs)}")
            if not 1 <= count <= cells_left[layer]:
                raise MessageError(
                    f"chunk of layer {layer} has {counted(count, 'cell')}, "
                    f"expected 1 to {cells_left[layer]}: "
                    f"all its chunks together have at most {layer_cells[layer]}"
                )
            cells_left[layer] -= count
            small_left[layer] -= count < specs[layer].fewest_cells
            if small_left[layer] < 0:
                raise MessageError(
                    f"layer {layer} has more than {_MOST_SMALL_CHUNKS} chunks of less than "
                    f"{counted(specs[layer].fewest_cells, 'cell')}"
                )
            received[layer].append(read_chunk(self.chunks, chunk, specs[layer], layer_cells[layer]))
        return tuple(join_chunks(chunks, spec) for chunks, spec in zip(received, specs, strict=True))


def encode_features(
    ground_m: float,
    boxes: LateBoxes,
    sections: Sequence[Section],
    specs: Sequence[LayerSpec],
    room_bytes: int,
) -> bytes:
    """Write as much as fits: the boxes first, then the sections in turn, each with its best cells.

    A dense section is written whole or left out; what is left out does not stop the sections behind it.

    Raises:
        MessageError: no room for an empty payload, or something that the format cannot hold.
    """
    if room_bytes < EMPTY_FEATURES_BYTES:
        raise MessageError(
            f"room of {counted(room_bytes, 'byte')}, an empty payload takes {EMPTY_FEATURES_BYTES}"
        )
    if not (np.isfinite(ground_m) and abs(ground_m) <= MAX_GROUND_M):
        raise MessageError(f"ground is at {ground_m} m, expected within {MAX_GROUND_M} m")
    room_bytes = min(room_bytes, MAX_PAYLOAD_BYTES)
    ground_cm = round(ground_m * 100)
    count = (room_bytes - EMPTY_FEATURES_BYTES) // LATE_BOX_BYTES
    records = encode_late_boxes(boxes, ground_cm / 100)[: count * LATE_BOX_BYTES]
    payload = bytearray(_HEADER.pack(ground_cm, len(records) // LATE_BOX_BYTES) + records)
    for section in sections:
        payload += write_section(section, specs, room_bytes - len(payload))
    return bytes(payload)


def decode_features(payload: bytes) -> FeaturesPayload:
    """Read a payload, but for its feature cells.

    Raises:
        MessageError: wrong length or a box with a field outside its limits.
    """
    ground_m, boxes_end = _read_header(payload)
    boxes = decode_late_boxes(payload[EMPTY_FEATURES_BYTES:boxes_end], ground_m)
    return FeaturesPayload(ground_m, boxes, payload[boxes_end:])


def cuts(payload: bytes) -> list[int]:
    """Return the lengths, ascending, at which a payload may be cut: behind each box and each chunk.

    Raises:
        MessageError: the payload is no sequence of boxes and chunks.
    """
    _, boxes_end = _read_header(payload)
    behind_boxes = range(EMPTY_FEATURES_BYTES, boxes_end + 1, LATE_BOX_BYTES)
    return [*behind_boxes, *(boxes_end + chunk.end for chunk in split_chunks(payload[boxes_end:]))]


def segments(payload: bytes) -> list[bytes]:
    """Return what `cuts` parts: the ground, each box and each chunk, with a letter that says which.

    Raises:
        MessageError: the payload is no sequence of boxes and chunks, or has more chunks than anybody sends.
    """
    _, boxes_end = _read_header(payload)
    starts = range(EMPTY_FEATURES_BYTES, boxes_end, LATE_BOX_BYTES)
    found = [b"g" + payload[:_GROUND_BYTES], *(b"b" + payload[at : at + LATE_BOX_BYTES] for at in starts)]
    at = boxes_end
    for number, chunk in enumerate(split_chunks(payload[boxes_end:])):
        if number == _MOST_CHUNKS:
            raise MessageError(f"features have more than {_MOST_CHUNKS} chunks")
        found.append(b"c" + payload[at : boxes_end + chunk.end])
        at = boxes_end + chunk.end
    return found


def truncate(message: bytes, budget_bytes: int) -> bytes:
    """Cut a whole encoded FEATURES message at its last cut within the budget; envelope and CRC are renewed.

    A signature stays good, see signatures.py.

    Raises:
        MessageError: it is of another kind, no valid message, or not even an empty payload fits.
    """
    whole = decode(message)
    if whole.kind != PayloadKind.FEATURES:
        raise MessageError(f"kind is {whole.kind.name}, only FEATURES can be cut")
    possible = cuts(whole.payload)
    if len(message) <= budget_bytes:
        return message
    beside_bytes = envelope_bytes(whole.sender) + (CUT_SIGNATURE_BYTES if whole.signature else 0)
    fitting = [cut for cut in possible if cut + beside_bytes <= budget_bytes]
    if not fitting:
        raise MessageError(
            f"budget of {counted(budget_bytes, 'byte')}, an empty FEATURES message of '{whole.sender}' takes "
            f"{beside_bytes + EMPTY_FEATURES_BYTES}"
        )
    ground_cm, count = _HEADER.unpack_from(whole.payload)
    kept = min(count, (fitting[-1] - EMPTY_FEATURES_BYTES) // LATE_BOX_BYTES)
    payload = _HEADER.pack(ground_cm, kept) + whole.payload[EMPTY_FEATURES_BYTES : fitting[-1]]
    signature = whole.signature
    if signature:
        signature = cut_signature(signature, segments(whole.payload)[len(segments(payload)) :])
    return encode(dataclasses.replace(whole, payload=payload, signature=signature))


def _read_header(payload: bytes) -> tuple[float, int]:
    """Return the ground in metres and where the boxes end."""
    if len(payload) < EMPTY_FEATURES_BYTES:
        raise MessageError(
            f"features have {counted(len(payload), 'byte')}, expected at least {EMPTY_FEATURES_BYTES}"
        )
    ground_cm, count = _HEADER.unpack_from(payload)
    if count > MAX_LATE_BOXES:
        raise MessageError(f"{count} late boxes announced, the limit is {MAX_LATE_BOXES}")
    boxes_end = EMPTY_FEATURES_BYTES + count * LATE_BOX_BYTES
    if boxes_end > len(payload):
        raise MessageError(f"{count} late boxes end at byte {boxes_end}, the payload has {len(payload)}")
    return ground_cm / 100, boxes_end


def _rewritten(content: FeaturesPayload) -> bytes:
    """Return the payload of what was read."""
    ground_cm = round(content.ground_m * 100)
    boxes = encode_late_boxes(content.boxes, ground_cm / 100)
    return _HEADER.pack(ground_cm, len(content.boxes)) + boxes + content.chunks


register(
    PayloadKind.FEATURES,
    Codec(
        _rewritten,
        lambda message: decode_features(message.payload),
        max_bytes=MAX_PAYLOAD_BYTES,
        segments=segments,
    ),
)
