"""Our messages of gRPC are those that Triton's clients know, and share no pool with them."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import FieldDescriptor
from tritonclient.grpc import model_config_pb2, service_pb2

from tvm_sparse.serve.rpc.protocol import message
from tvm_sparse.serve.rpc.service import Service

pytestmark = pytest.mark.unit

CALLS = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name


def check(ours, theirs, seen: set[str]) -> None:
    """Assert that our fields have the numbers and types of theirs."""
    seen.add(ours.name)
    assert ours.file.pool is not theirs.file.pool
    for field in ours.fields:
        other = theirs.fields_by_name[field.name]
        for fact in ("number", "type", "is_repeated"):
            assert getattr(field, fact) == getattr(other, fact), field.full_name
        if field.type == FieldDescriptor.TYPE_ENUM:
            assert {v.name: v.number for v in field.enum_type.values} == {
                v.name: v.number for v in other.enum_type.values
            }
        if field.message_type and field.message_type.name not in seen:
            check(field.message_type, other.message_type, seen)


def test_our_messages_are_theirs() -> None:
    seen: set[str] = set()
    names = [name for name in CALLS if not name.startswith(("System", "Cuda", "Trace", "Log"))]
    assert len(names) == 12
    handler = Service(None).handler()
    for name in names:
        details = type("Details", (), {"method": f"/inference.GRPCInferenceService/{name}"})
        found = handler.service(details)
        assert found.request_streaming == CALLS[name].client_streaming
        for kind in (CALLS[name].input_type, CALLS[name].output_type):
            check(message(kind.name).DESCRIPTOR, kind, seen)
    assert {"ModelConfig", "InferParameter", "StatisticDuration", "ModelIndex"} <= seen
    assert model_config_pb2.DESCRIPTOR.pool is not message("ModelConfig").DESCRIPTOR.file.pool
