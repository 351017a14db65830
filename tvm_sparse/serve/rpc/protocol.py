"""The messages of the Open Inference Protocol over gRPC, as Triton has extended it.

https://github.com/kserve/open-inference-protocol (open_inference_grpc.proto), and the field numbers
that Triton's clients use. A process may hold the same messages from elsewhere, tritonclient's for
example, and protobuf refuses two files of one name in its global pool: ours have a pool to
themselves, and are made when they are first needed.
"""

from __future__ import annotations

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
_FIELD = descriptor_pb2.FieldDescriptorProto
#: Fields as .proto files write them: `repeated` and `map` (from strings) stand before the type.
_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool live = 1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool ready = 1",
    "ModelReadyRequest": "string name = 1; string version = 2",
    "ModelReadyResponse": "bool ready = 1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "string name = 1; string version = 2; repeated string extensions = 3",
    "ModelMetadataRequest": "string name = 1; string version = 2",
    "ModelMetadataResponse": "string name = 1; repeated string versions = 2; string platform = 3; "
    "repeated TensorMetadata inputs = 4; repeated TensorMetadata outputs = 5",
    "TensorMetadata": "string name = 1; string datatype = 2; repeated int64 shape = 3",
    "ModelInferRequest": "string model_name = 1; string model_version = 2; string id = 3; "
    "map InferParameter parameters = 4; repeated InferInputTensor inputs = 5; "
    "repeated InferRequestedOutputTensor outputs = 6; repeated bytes raw_input_contents = 7",
    "InferInputTensor": "string name = 1; string datatype = 2; repeated int64 shape = 3; "
    "map InferParameter parameters = 4; InferTensorContents contents = 5",
    "InferRequestedOutputTensor": "string name = 1; map InferParameter parameters = 2",
    "InferTensorContents": "repeated bool bool_contents = 1; repeated int32 int_contents = 2; "
    "repeated int64 int64_contents = 3; repeated uint32 uint_contents = 4; "
    "repeated uint64 uint64_contents = 5; repeated float fp32_contents = 6; "
    "repeated double fp64_contents = 7; repeated bytes bytes_contents = 8",
    "ModelInferResponse": "string model_name = 1; string model_version = 2; string id = 3; "
    "map InferParameter parameters = 4; repeated InferOutputTensor outputs = 5; "
    "repeated bytes raw_output_contents = 6",
    "InferOutputTensor": "string name = 1; string datatype = 2; repeated int64 shape = 3; "
    "map InferParameter parameters = 4; InferTensorContents contents = 5",
    "ModelStreamInferResponse": "string error_message = 1; ModelInferResponse infer_response = 2",
    "ModelConfigRequest": "string name = 1; string version = 2",
    "ModelConfigResponse": "ModelConfig config = 1",
    "ModelConfig": "string name = 1; string platform = 2; ModelVersionPolicy version_policy = 3; "
    "int32 max_batch_size = 4; repeated ModelInput input = 5; repeated ModelOutput output = 6; "
    "map ModelParameter parameters = 14; string backend = 17",
    "ModelVersionPolicy": "Latest latest = 1",
    "Latest": "uint32 num_versions = 1",
    "ModelInput": "string name = 1; DataType data_type = 2; repeated int64 dims = 4; "
    "bool optional = 8",
    "ModelOutput": "string name = 1; DataType data_type = 2; repeated int64 dims = 3",
    "ModelParameter": "string string_value = 1",
    "ModelStatisticsRequest": "string name = 1; string version = 2",
    "ModelStatisticsResponse": "repeated ModelStatistics model_stats = 1",
    "ModelStatistics": "string name = 1; string version = 2; uint64 last_inference = 3; "
    "uint64 inference_count = 4; uint64 execution_count = 5; InferStatistics inference_stats = 6; "
    "repeated InferBatchStatistics batch_stats = 7",
    "InferStatistics": "StatisticDuration success = 1; StatisticDuration fail = 2; "
    "StatisticDuration queue = 3; StatisticDuration compute_input = 4; "
    "StatisticDuration compute_infer = 5; StatisticDuration compute_output = 6; "
    "StatisticDuration cache_hit = 7; StatisticDuration cache_miss = 8",
    "InferBatchStatistics": "uint64 batch_size = 1; StatisticDuration compute_input = 2; "
    "StatisticDuration compute_infer = 3; StatisticDuration compute_output = 4",
    "StatisticDuration": "uint64 count = 1; uint64 ns = 2",
    "RepositoryIndexRequest": "string repository_name = 1; bool ready = 2",
    "RepositoryIndexResponse": "repeated ModelIndex models = 1",
    "ModelIndex": "string name = 1; string version = 2; string state = 3; string reason = 4",
    "RepositoryModelLoadRequest": "string repository_name = 1; string model_name = 2; "
    "map ModelRepositoryParameter parameters = 3",
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": "string repository_name = 1; string model_name = 2; "
    "map ModelRepositoryParameter parameters = 3",
    "RepositoryModelUnloadResponse": "",
}
#: Messages of which one field at a time is there.
_CHOICES = {
    "InferParameter": "bool bool_param = 1; int64 int64_param = 2; string string_param = 3; "
    "double double_param = 4; uint64 uint64_param = 5",
    "ModelRepositoryParameter": "bool bool_param = 1; int64 int64_param = 2; "
    "string string_param = 3; bytes bytes_param = 4",
}
CHOICE = "parameter_choice"
_ENUMS = {
    "DataType": "INVALID BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 "
    "STRING BF16",
}


@functools.cache
def message(name: str) -> Any:
    """Return the class of a message."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    """Return a pool of our own that holds all messages."""
    file = descriptor_pb2.FileDescriptorProto(
        name="open_inference.proto", package=PACKAGE, syntax="proto3"
    )
    for name, values in _ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values.split()):
            enum.value.add(name=f"TYPE_{value}", number=number)
    for name, fields in {**_MESSAGES, **_CHOICES}.items():
        made = file.message_type.add(name=name)
        if name in _CHOICES:
            made.oneof_decl.add(name=CHOICE)
        for field in filter(None, fields.split("; ")):
            _add_field(made, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add_field(made: Any, text: str) -> None:
    *label, kind, name, _, number = text.split()
    field = made.field.add(name=name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
    if label:
        field.label = _FIELD.LABEL_REPEATED
    if made.oneof_decl:
        field.oneof_index = 0
    if label == ["map"]:
        entry = made.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        for part in ("string key = 1", f"{kind} value = 2"):
            _add_field(entry, part)
        kind = f"{made.name}.{entry.name}"
    if kind in _ENUMS:
        field.type = _FIELD.TYPE_ENUM
    elif kind[0].isupper():
        field.type = _FIELD.TYPE_MESSAGE
    else:
        field.type = _FIELD.Type.Value(f"TYPE_{kind.upper()}")
        return
    field.type_name = f".{PACKAGE}.{kind}"
