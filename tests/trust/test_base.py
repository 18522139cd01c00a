"""What a check may say, and what becomes of one that fails."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.messages.envelope import Message, PayloadKind
from cosense.trust.base import TrustContext, objection


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (lambda message, context: None, None),
        (lambda message, context: "", None),
        (lambda message, context: "too good to be true", "too good to be true"),
        (lambda message, context: True, "check 'test_base' returned True, expected a reason or None"),
        (lambda message, context: 1 // 0, "check 'test_base' failed: ZeroDivisionError"),
        (lambda message: None, "check 'test_base' failed: TypeError"),
    ],
)
def test_a_message_passes_where_a_check_has_no_reason_against_it(check, reason) -> None:
    message = Message(PayloadKind.OBJECTS, "unit", 0, 0, np.eye(4), np.zeros((3, 3)), bytes(8), b"")
    found = objection(check, message, TrustContext(message, 0.0))
    assert found == reason if reason is None else found is not None and found.startswith(reason)
