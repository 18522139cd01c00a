"""Where a network runs, and in which precision."""

from __future__ import annotations

from typing import Literal

import torch

from cosense.errors import CosenseError

Precision = Literal["auto", "float32", "bfloat16"]


def usable_device(name: str) -> torch.device:
    """Return the device of that name.

    Raises:
        CosenseError: torch does not know it, or this machine does not have it.
    """
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CosenseError(f"device '{name}' cannot be used, 'cpu' always can: {reason}") from None


def inference_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type that convolutions run in; "auto" is bfloat16 where the device multiplies it natively.

    A flag of the processor decides, not a timing: the same machine gives the same boxes in every process.
    AVX-512 without the matrix instructions (AMX) also knows bfloat16, but gains little and loses digits.
    """
    if precision != "auto":
        return torch.float32 if precision == "float32" else torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if has_bfloat16_matrix_instructions() else torch.float32


def training_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type that convolutions are trained in.

    Training takes bfloat16 from AVX-512 too: its noise is nothing to that of a batch, and a step takes two
    thirds of the time.
    """
    if precision == "auto" and device.type == "cpu" and _processor_has("avx512_bf16"):
        return torch.bfloat16
    return inference_dtype(precision, device)


def has_bfloat16_matrix_instructions() -> bool:
    """Return whether the processor multiplies bfloat16 matrices in hardware (AMX)."""
    return _processor_has("amx_bf16")


def _processor_has(flag: str) -> bool:
    try:
        with open("/proc/cpuinfo") as file:
            return any(flag in line.split() for line in file if line.startswith("flags"))
    except OSError:
        return False
