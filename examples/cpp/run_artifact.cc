// Run an artifact that `tvm-sparse export` wrote, from C++, without Python.
//
//   run_artifact DIR [--shape NxS] [--iterations N] [--threads N] [--inputs FOLDER]
//                [--outputs FOLDER] [--expect FOLDER] [--tolerance X]
//
// --shape    sequences x tokens, for builds of any length; one text of up to 128 tokens by default.
// --inputs   a folder with one file NAME.bin per input: its raw values in row-major order, in the
//            machine's byte order. Inputs without a file are filled: random ids, an attention mask
//            of ones, token types of zeros, floats between -1 and 1.
// --outputs  a folder that receives one such file per output.
// --expect   a folder with one such file per output: fails where a float32 output differs from it
//            by more than X + X |expected|, any other output by a single byte. X is 1e-4, or what
//            --tolerance says: builds of other instruction sets add up floats in another order, and
//            in one of 8 bits a value may then be rounded to the next step.
//
// Needs libtvm_runtime.so and libtvm_ffi.so only; the Makefile says where their headers lie.
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/map.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/extra/json.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <iomanip>
#include <iostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "shapes.h"
#include "tensors.h"

namespace json = tvm::ffi::json;

namespace {

// Memory of the virtual machine: the CPU, device 0, with an allocator that keeps its buffers.
constexpr int kPooledAllocator = 2;
struct Options {
  std::string artifact;
  std::string inputs;
  std::string outputs;
  std::string expected;
  float tolerance = kTolerance;
  Shape shape;
  int iterations = 20;
};

template <typename T>
T Field(const json::Object& object, const char* key) {
  const auto found = object.Get(ffi::String(key));
  if (!found.has_value()) throw std::runtime_error(std::string("metadata.json lacks ") + key);
  return found.value().cast<T>();
}

std::vector<TensorSpec> ReadSpecs(const json::Object& metadata, const char* key) {
  std::vector<TensorSpec> specs;
  for (const auto& item : Field<json::Array>(metadata, key)) {
    const auto object = item.cast<json::Object>();
    TensorSpec spec;
    spec.name = Field<ffi::String>(object, "name");
    for (const auto& size : Field<json::Array>(object, "shape")) {
      spec.shape.push_back(size.cast<int64_t>());
    }
    for (const auto& axis : Field<json::Array>(object, "axes")) {
      spec.axes.push_back(axis.cast<ffi::String>());
    }
    spec.dtype = ffi::StringToDLDataType(Field<ffi::String>(object, "dtype"));
    specs.push_back(std::move(spec));
  }
  return specs;
}

// The weights lie in the library; its table says for each: offset in bytes, type code, bits, number
// of dimensions, dimensions. The library is never closed: the tensors only point into it.
std::vector<ffi::Tensor> MapWeights(const std::string& path) {
  // TVM has loaded it already: this only finds it again.
  void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  const auto* weights = static_cast<const char*>(dlsym(library, "tvm_sparse_weights"));
  const auto* word = static_cast<const int64_t*>(dlsym(library, "tvm_sparse_weight_table"));
  if (weights == nullptr || word == nullptr) throw std::runtime_error(path + " holds no weights");
  std::vector<ffi::Tensor> tensors;
  for (int64_t remaining = *word++; remaining > 0; --remaining) {
    const char* data = weights + word[0];
    const DLDataType dtype{static_cast<uint8_t>(word[1]), static_cast<uint8_t>(word[2]), 1};
    const ffi::ShapeView shape(word + 4, static_cast<size_t>(word[3]));
    tensors.push_back(ffi::Tensor::FromNDAlloc(ExistingMemory(), shape, dtype,
                                               DLDevice{kDLCPU, 0}, data));
    word += 4 + shape.size();
  }
  return tensors;
}

Shape ParseShape(const std::string& text) {
  Shape shape;
  char separator = 0;
  std::istringstream stream(text);
  const bool parsed = static_cast<bool>(stream >> shape.batch >> separator >> shape.seq_len);
  if (!parsed || !stream.eof() || separator != 'x' || shape.batch < 1 || shape.seq_len < 1) {
    throw std::invalid_argument("--shape " + text + " given: write sequences x tokens, as 3x17");
  }
  return shape;
}

float ParseTolerance(const std::string& text) {
  float tolerance = 0;
  std::istringstream stream(text);
  if (!(stream >> tolerance) || !stream.eof() || tolerance < 0) {
    throw std::invalid_argument("--tolerance " + text + " given: write a number from 0 on");
  }
  return tolerance;
}

// A whole number from 1 on.
int ParseCount(const std::string& word, const std::string& text) {
  int count = 0;
  std::istringstream stream(text);
  if (!(stream >> count) || !stream.eof() || count < 1) {
    throw std::invalid_argument(word + " " + text + " given: write a whole number from 1 on");
  }
  return count;
}

Options ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      options.artifact = word;
      continue;
    }
    if (++i == argc) throw std::invalid_argument(word + " needs a value");
    if (word == "--iterations") {
      options.iterations = ParseCount(word, argv[i]);
    } else if (word == "--shape") {
      options.shape = ParseShape(argv[i]);
    } else if (word == "--threads") {
      // Read by TVM when it starts its threads, at the first run.
      setenv("TVM_NUM_THREADS", std::to_string(ParseCount(word, argv[i])).c_str(), 1);
    } else if (word == "--inputs") {
      options.inputs = argv[i];
    } else if (word == "--outputs") {
      options.outputs = argv[i];
    } else if (word == "--expect") {
      options.expected = argv[i];
    } else if (word == "--tolerance") {
      options.tolerance = ParseTolerance(argv[i]);
    } else {
      throw std::invalid_argument("unknown option " + word);
    }
  }
  if (options.artifact.empty()) throw std::invalid_argument("no artifact directory given");
  return options;
}

// Returns whether all outputs are as expected, if it was said what to expect.
bool Run(const Options& options) {
  const auto metadata =
      json::Parse(ReadFile(options.artifact + "/metadata.json")).cast<json::Object>();
  auto input_specs = ReadSpecs(metadata, "inputs");
  auto output_specs = ReadSpecs(metadata, "outputs");
  const auto token_tile = Field<int64_t>(metadata, "token_tile");
  Shape shape;
  if (token_tile > 0) {
    shape = ChooseShape(input_specs, options.shape);
    SetShapes(shape, &input_specs);
    SetShapes(shape, &output_specs);
  } else if (options.shape.batch > 0) {
    throw std::runtime_error("--shape is for builds of any length: this one has a shape");
  }
  const std::string entry = Field<ffi::String>(metadata, "entry");
  // TVM takes half of the cores by itself; a value that is set stays.
  setenv("TVM_NUM_THREADS", std::to_string(Field<int64_t>(metadata, "threads")).c_str(), 0);
  // TVM pins its threads to cores: on a machine that does other work besides, they then wait.
  setenv("TVM_BIND_THREADS", "0", 0);

  const ffi::Module library = ffi::Module::LoadFromFile(options.artifact + "/model.so");
  const auto make_machine = library->GetFunction("vm_load_executable");
  if (!make_machine.has_value()) throw std::runtime_error("model.so holds no compiled model");
  const auto machine = (*make_machine)().cast<ffi::Module>();
  (*machine->GetFunction("vm_initialization"))(static_cast<int>(kDLCPU), 0, kPooledAllocator);
  const auto forward = machine->GetFunction(entry);
  if (!forward.has_value()) throw std::runtime_error("model.so has no function " + entry);

  std::mt19937 random(0);
  std::vector<ffi::Tensor> inputs;
  for (const auto& spec : input_specs) inputs.push_back(MakeInput(spec, options.inputs, &random));
  std::vector<ffi::Tensor> outputs;
  for (const auto& spec : output_specs) outputs.push_back(NewTensor(spec.shape, spec.dtype));
  const auto weights = MapWeights(options.artifact + "/model.so");
  // A build for one shape cuts its batch itself.
  std::vector<MicroBatch> parts{{0, output_specs.at(0).shape.at(0)}};
  if (token_tile > 0) parts = CutBatch(shape, ParseCount("TVM_NUM_THREADS", std::getenv("TVM_NUM_THREADS")));
  std::vector<std::vector<ffi::Any>> calls;
  for (const auto& part : parts) {
    std::vector<ffi::Any> tensors;
    for (size_t i = 0; i < inputs.size(); ++i) {
      tensors.emplace_back(parts.size() == 1 ? inputs[i] : TakeRows(input_specs[i], inputs[i], part));
    }
    if (token_tile > 0) tensors.emplace_back(MakeTileMap({part.count, shape.seq_len}, token_tile));
    for (const auto& weight : weights) tensors.emplace_back(weight);
    calls.push_back(std::move(tensors));
  }

  const auto run = [&](const std::function<void(const MicroBatch&, const ffi::Any&)>& collect) {
    for (size_t i = 0; i < calls.size(); ++i) {
      const std::vector<ffi::AnyView> arguments(calls[i].begin(), calls[i].end());
      ffi::Any result;
      forward.value().CallPacked(arguments.data(), static_cast<int>(arguments.size()), &result);
      if (collect) collect(parts[i], result);
    }
  };
  // The first run starts the threads. What it returns is copied before the machine runs again:
  // outputs may lie in its buffers.
  run([&](const MicroBatch& part, const ffi::Any& result) {
    const auto found = result.cast<ffi::Array<ffi::Tensor>>();
    if (found.size() != outputs.size()) {
      throw std::runtime_error("the model returned " + std::to_string(found.size()) + " outputs");
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      PutRows(found[static_cast<int64_t>(i)], part, &outputs[i]);
    }
  });
  std::vector<double> latencies_ms;
  for (int i = 0; i < options.iterations; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run(nullptr);
    const std::chrono::duration<double, std::milli> elapsed =
        std::chrono::steady_clock::now() - start;
    latencies_ms.push_back(elapsed.count());
  }

  bool as_expected = true;
  for (size_t i = 0; i < output_specs.size(); ++i) {
    PrintOutput(output_specs[i], outputs[i]);
    if (!options.outputs.empty()) WriteOutput(output_specs[i], outputs[i], options.outputs);
    if (!options.expected.empty() &&
        !CheckOutput(output_specs[i], outputs[i], options.expected, options.tolerance)) {
      as_expected = false;
    }
  }
  std::sort(latencies_ms.begin(), latencies_ms.end());
  std::cout << std::fixed << std::setprecision(3) << "latency: median "
            << latencies_ms[latencies_ms.size() / 2] << " ms, min " << latencies_ms.front()
            << " ms of " << latencies_ms.size() << " runs\n";
  return as_expected;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(ParseOptions(argc, argv)) ? 0 : 1;
  } catch (const std::invalid_argument& error) {
    std::cerr << "run_artifact: " << error.what() << "\n"
              << "usage: run_artifact DIR [--shape NxS] [--iterations N] [--threads N] "
                 "[--inputs FOLDER] [--outputs FOLDER] [--expect FOLDER] [--tolerance X]\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "run_artifact: " << error.what() << "\n";
    return 1;
  }
}
