"""The state machine of ``h2``, as the asking end of a connection has it. Pure."""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from mcptwist.protocols.h2limits import HTTP2ClientLimits

__all__ = ["make_machine"]


class _Machine(H2Connection):
    """h2's connection; remembers fewer streams that are over."""

    MAX_CLOSED_STREAMS = 4096


def make_machine(limits: HTTP2ClientLimits) -> H2Connection:
    """The state of one connection, which tells the server of our *limits* when it begins."""
    machine = _Machine(H2Configuration(client_side=True, header_encoding=None))
    machine.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.fields,
        },
    )
    machine.decoder.max_header_list_size = limits.fields
    return machine
