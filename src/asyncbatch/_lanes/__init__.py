"""
The lanes: ways to carry out one attempt.

The layers above use a `Lane`, its `Relay` and a `Binding`, and do not use httpx.
"""

from asyncbatch._lanes._client import ClientLane
from asyncbatch._lanes._direct import DirectLane
from asyncbatch._lanes._file_relay import FileRelay, NewFileRelay, Received
from asyncbatch._lanes._lane import Lane
from asyncbatch._lanes._relay import MOST_RESTING, Relay, Relays, can_relay
from asyncbatch._lanes.client._binding import Binding, binding_of, check_transports
from asyncbatch._lanes.client._httpcore_pool import capacity_of, slots_of
from asyncbatch._lanes.client._own_client import OwnClient
from asyncbatch._lanes.failures._callers import callers_error, exit_of_caller
from asyncbatch._lanes.failures._of_sink import sink_outcome
from asyncbatch._lanes.request._encoded_request import Encoded, Plain, key_of, watched
from asyncbatch._lanes.response._response_builder import ResponseBuilder, field_of, peer_of

__all__ = [
    "MOST_RESTING",
    "Binding",
    "ClientLane",
    "DirectLane",
    "Encoded",
    "FileRelay",
    "Lane",
    "NewFileRelay",
    "OwnClient",
    "Plain",
    "Received",
    "Relay",
    "Relays",
    "ResponseBuilder",
    "binding_of",
    "callers_error",
    "can_relay",
    "capacity_of",
    "check_transports",
    "exit_of_caller",
    "field_of",
    "key_of",
    "peer_of",
    "sink_outcome",
    "slots_of",
    "watched",
]
