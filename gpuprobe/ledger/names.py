"""What the name of an event says about it: the one place that knows the names of TensorFlow, JAX, CUDA and Kineto."""

from __future__ import annotations

import re
from enum import IntFlag
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from gpuprobe.traces.names import distinct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gpuprobe.traces.timeline import Int32s


class Kind(IntFlag):
    """What a host event means for the breakdown; most events have no kind."""

    COMPILE = 1
    GRAPH = 2
    MEMORY = 4
    INPUT = 8
    ITERATOR_ROOT = 16
    ITERATOR = 32
    SYNC = 64
    FUNCTION = 128
    CALL = 256
    OP = 512
    EXECUTION = 1024
    LAUNCH = 2048
    KERNEL_RUN = 4096
    EAGER = 8192
    JIT = 16384
    PROGRAM = 32768
    PYTHON = 65536
    CONVERT = 131072
    FEED = 262144
    EXCHANGE = 524288
    ONCE = 1048576
    ATEN = 2097152
    PASS = 4194304
    EXECUTOR = 8388608
    WORKERS = 16777216


# Part of the name of every call that copies: cuMemcpyHtoDAsync, cudaMemcpyAsync, MemcpyH2D.
COPYING = "emcpy"
# Done once for each kernel: loading its code, compiling it at run time, trying which kernel is fastest.
_ONCE = (
    r"[^/]*(?:[Aa]utotun|(?:cu|cuda|hip)(?:ModuleLoad|LibraryLoad)|cuLink|nvrtc|[Pp]txas|nvJitLink|cudnnFind)"
    r"|\S*torch/(?:_dynamo/convert_frame|_inductor/compile_fx)\.py\(\d+\): "
)
# `Compile` alone would match Keras's own ops, such as StatefulPartitionedCall/compile_loss/...: slashes are excluded.
_COMPILE = (
    r"[^/]*(?:XlaCompil|Compiler::|CompileToLocalExecutable|CompileFunction|CompileSingleOp|CompilePtx|CompileGpuAsm"
    r"|RunBackend|RunHloPasses|BuildExecutable|ThunkEmitter|HLO passes|LocalClient::Compile"
    r"|PjRt\w*::Compile|backend_compile|Grappler|MetaOptimizer|InstantiateMultiDevice)|Codegen$"
)
_PATTERNS: tuple[tuple[Kind, str], ...] = (
    (Kind.COMPILE | Kind.ONCE, _ONCE),
    (Kind.COMPILE, _COMPILE),
    # Python building the graph of a tf.function: its first call, and every retracing.
    (Kind.COMPILE | Kind.GRAPH, r"tf\.function-graph_building$"),
    (
        Kind.MEMORY,
        # Pinning the host's memory (cudaHostAlloc, cuMemAllocHost) takes none of the device's.
        r"(?:cu|cuda|hip)(?:Mem(?:Alloc|Free|Create|Map|AddressReserve|Release|Unmap)|Malloc|Free)(?!\w*(?:Async|Host))",
    ),
    # PyTorch's DataLoader with workers, which make batches ahead.
    (Kind.INPUT | Kind.WORKERS, r"enumerate\(DataLoader\)#_MultiProcessing"),
    (Kind.INPUT, r"IteratorGetNext\w*(?:::DoCompute)?$|enumerate\(DataLoader\)#"),
    # The outermost iterator, which the consumer calls; the ones below it also run ahead on threads of their own.
    (Kind.ITERATOR | Kind.ITERATOR_ROOT, r"Iterator::(?:Root|Model)$"),
    (Kind.ITERATOR, r"Iterator::"),
    (
        Kind.SYNC,
        r"(?:cu|cuda|hip)(?:Stream|Event|Ctx|Context|Device|Thread)Synchronize|(?:cu|hip)MemcpyDtoH(?!Async)"
        r"|(?:cuda|hip)Memcpy$|MemcpyD2H$|hipMemcpyWithStream$|[\w:]*BlockHostUntilDone|\$\S+ block_until_ready$"
        r"|aten::item$|aten::_local_scalar_dense$",
    ),
    # Keras calls it train_function (2) and one_step_.. or multi_step_.. (3); the other names are those of tutorials.
    (
        Kind.FUNCTION,
        r"(?:train_function|(?:distributed_|dist_)?train(?:ing)?_(?:multi_)?step|(?:one|multi)_step_on_(?:data|iterator)"
        r"|train_one_step|step_fn)$",
    ),
    # The second is a call of what torch.compile made, with the look whether it still fits what it is given.
    (Kind.CALL, r"Eager(?:Local)?Execute: __inference_|Torch-Compiled Region: |TorchDynamo Cache Lookup$"),
    # A call of a function that JAX compiled: it dispatches, and returns before the device has done the work.
    (Kind.CALL | Kind.JIT, r"(?:Pjit|Pmap|(?:Jax)?Compiled)Function\("),
    # Python begins a pass over a dataset, as `fit`, `evaluate` and `predict` do.
    (Kind.PASS, r"Eager(?:Local)?Execute: MakeIterator$"),
    # Single operations that Python starts, without those for handing over batches, summaries and the profiler.
    (Kind.EAGER, r"Eager(?:Local)?Execute: (?!_)(?!\w*(?:Iterator|Optional|Summary|Dataset|SyncDevice))"),
    (Kind.EXECUTION, r"EagerKernelExecute$"),
    # A thread of TensorFlow starts the operations that are ready; the short ones have no events of their own.
    (Kind.EXECUTOR, r"ExecutorState::Process"),
    # Python makes a tensor of a value: of a numpy batch by copying it.
    (Kind.CONVERT, r"(?:tf\.constant|convert_to_tensor)$"),
    # The event in which gpuprobe's own loops make a batch in Python (`strategies/feeds.py`).
    (Kind.FEED, r"NextBatch$"),
    (
        Kind.LAUNCH,
        r"(?:cu|cuda|hip)(?:Launch|GraphLaunch|ModuleLaunch|ExtLaunch|ExtModuleLaunch"
        r"|Memcpy(?:HtoD|DtoD|DtoHAsync|Async|Peer))",
    ),
    # XLA's programs on the processor under JAX, on the threads that run them and on the one that waits.
    (Kind.KERNEL_RUN | Kind.PROGRAM, r"ThunkExecutor::Execute(?: \(wait for completion\))?$"),
    (
        Kind.KERNEL_RUN,
        r"(?:(?:Cpu|Gpu)Executable::Execute\w*|Tfrt\w*::Execute\w*)$"
        r"|autograd::engine::evaluate_function: |Optimizer\.step#|## Call CompiledFxGraph ",
    ),
    # An operation of PyTorch: Python, or the backward pass, starts it and waits until the processor has computed it.
    (Kind.KERNEL_RUN | Kind.ATEN, r"aten::\w+$"),
    # Python frames, as the profilers of TensorFlow, JAX and PyTorch name them; they enclose all other events.
    (Kind.PYTHON, r"\$|\S+\(\d+\): |<built-in |nn\.Module: "),
    # Where the processor is the device, TensorFlow's workers exchange through operations.
    (Kind.OP | Kind.EXCHANGE, r"[^\s:]+:Collective(?:Reduce|Gather|AllToAll|Bcast)\w*$"),
    # An operation is traced as name:Type.
    (Kind.OP, r"[^\s:]+:[A-Za-z_]\w*$"),
)
_ANY = re.compile("|".join(f"(?P<k{number}>{pattern})" for number, (_, pattern) in enumerate(_PATTERNS)))
# An operation that Python calls; a call of a function bears the function's name instead.
_CALLED_BY_PYTHON = re.compile(r"EagerLocalExecute: (?!__)")
# Operations that only wait for another thread.
_WAITING_OPS = re.compile(
    r".*:(?:_Recv|_HostRecv|_Send|_HostSend|IteratorGetNext\w*|PyFunc|EagerPyFunc|\w*Iterator\w*)$"
)
# Those of them in which Python works.
_PYTHON_OPS = re.compile(r".*:(?:Eager)?PyFunc\w*$")
# Operations that TensorFlow has for processors alone, such as those on text, hash tables and encoded images: Keras's
# preprocessing layers consist of them.
_PREPARING_OPS = re.compile(
    r".*:(?:\w*String\w*|\w*Regex\w*|\w*Lookup\w*|Unicode\w*|Decode\w*|Parse\w*|RaggedTensor\w*|\w*HashTable\w*)$"
)
# The Keras layers that augment images or transform sounds, by the scopes of their default names; without those that a
# network may use between its own layers, such as Normalization and Resizing.
_SAMPLE_LAYERS = re.compile(
    r"(?:[^:]*/)?(?:random_(?:brightness|color_\w+?|contrast|crop|elastic_transform|erasing|flip|gaussian_blur|grayscale"
    r"|hue|invert|perspective|posterization|rotation|saturation|sharpness|shear|translation|zoom)|rand_augment|aug_mix"
    r"|auto_contrast|cut_mix|mix_up|equalization|clahe|solarization|mel_spectrogram|stft_spectrogram)(?:_\d+)?/[^:]*:\w+$"
)
# Operations that compute gradients, by the scope that TensorFlow gives them.
_OF_GRADIENT = re.compile(r"(?:[^:]*/)?(?:gradient_tape|gradients)/[^:]*:\w+$")
# Events that enclose everything a framework runs, and so explain nothing: the executor's loop and the calls into it.
_WRAPPERS = re.compile(r"ExecutorState::Process|Executor\w*Callback|FunctionRun$|TFE_Py_\w+|PjRt\w+::\w*Execut")

# The collectives libraries of NVIDIA and AMD, how XLA names the operations that it runs through them, and the
# exchange kernels of vLLM and TensorRT-LLM.
_COLLECTIVE = re.compile(
    r".*(?:nccl|AllReduce|AllGather|ReduceScatter|AllToAll|(?<![a-z])(?:all[-_](?:reduce|gather|to[-_]all)"
    r"|reduce[-_]scatter)|cross_device_reduce)",
    re.DOTALL,
)
_COLLECTIVE_KIND = re.compile(
    r"all[-_]?reduce|all[-_]?gather|reduce[-_]?scatter|all[-_]?to[-_]?all|send[-_]?recv|broadcast|reduce", re.I
)
_REDUCES = re.compile(r".*reduce", re.IGNORECASE | re.DOTALL)
# The names of kernels that use Tensor Cores: XProf's kernel_stats_utils.cc (884, 1688, hmma, xmma) and the allow-list
# of Kineto's tb_plugin (h884, s884, h1688, s1688, i8816, 16816, c1688, xmma_gemm), with Hopper's wgmma.
_TENSOR_CORE = re.compile(r".*(?:884|1688|16816|8816|hmma|xmma|wgmma|tensorop|tensor_op)", re.DOTALL)
# Operations that could use them: XProf's IsOpTensorCoreEligible.
_ELIGIBLE = re.compile(r".*(?:Conv[23]D|MatMul|Einsum|CudnnRNN|aten::(?:mm|addmm|bmm|linear|conv\w*))", re.DOTALL)


def kinds(names: Sequence[str]) -> NDArray[np.int32]:
    """Return the `Kind` of every name of a timeline, (n,) int32; 0 for a name without a kind."""
    return np.array([_kind(name) for name in names], np.int32)


def framework(names: Sequence[str], kind_of_name: NDArray[np.int32]) -> str:
    """Return the framework that a trace's names tell: `jax`, `pytorch`, `tensorflow`; empty where no name is known."""
    if np.any(kind_of_name & Kind.JIT):
        return "jax"
    if any(name.startswith(("aten::", "ProfilerStep#", "enumerate(DataLoader)")) for name in names):
        return "pytorch"
    of_tensorflow = Kind.FUNCTION | Kind.CALL | Kind.EAGER | Kind.EXECUTION | Kind.ITERATOR
    return "tensorflow" if np.any(kind_of_name & of_tensorflow) else ""


def collective(names: Sequence[str], used: Int32s) -> NDArray[np.bool_]:
    """Tell which kernels are collectives, (n,) bool; `used` are the indices of their names."""
    return _matching(_COLLECTIVE, names, used)


def collective_kind(name: str) -> str:
    """Return the operation of a collective, such as `allreduce`; its whole name where that is not known."""
    match = _COLLECTIVE_KIND.search(name)
    return re.sub("[-_]", "", match[0]).lower() if match else name


def adds_up(names: Sequence[str], used: Int32s) -> NDArray[np.bool_]:
    """Tell which collectives add up the values of the devices, as for gradients, (n,) bool."""
    return _matching(_REDUCES, names, used)


def tensor_core(names: Sequence[str], used: Int32s) -> NDArray[np.bool_]:
    """Tell which kernels use Tensor Cores, by their names, (n,) bool."""
    return _matching(_TENSOR_CORE, names, used)


def eligible(names: Sequence[str], ops: Int32s) -> NDArray[np.bool_]:
    """Tell which operations could use Tensor Cores, (n,) bool; an unknown one (-1) could not."""
    return _matching(_ELIGIBLE, names, ops)


def waits(name: str) -> bool:
    """Tell whether an operation only waits for other threads and does no work."""
    return bool(_WAITING_OPS.match(name))


def is_called_by_python(name: str) -> bool:
    """Tell whether an event is Python's call of a single operation."""
    return bool(_CALLED_BY_PYTHON.match(name))


def runs_python(name: str) -> bool:
    """Tell whether an operation of TensorFlow calls back into Python."""
    return bool(_PYTHON_OPS.match(name))


def is_preprocessing(name: str) -> bool:
    """Tell whether an operation of TensorFlow is of the kind that preprocessing layers consist of."""
    return bool(_PREPARING_OPS.match(name))


def is_sample_layer(name: str) -> bool:
    """Tell whether an operation of TensorFlow belongs to a layer of Keras that augments images or transforms sounds."""
    return bool(_SAMPLE_LAYERS.match(name))


def prepares(name: str) -> bool:
    """Tell whether an operation calls Python or preprocesses samples: work that could run ahead of the step."""
    return runs_python(name) or is_preprocessing(name) or is_sample_layer(name)


def is_of_gradient(name: str) -> bool:
    """Tell whether an operation of TensorFlow computes gradients: only a function that trains runs any."""
    return bool(_OF_GRADIENT.match(name))


@lru_cache(maxsize=1 << 16)
def wraps(name: str) -> bool:
    """Tell whether an event only encloses the events of a framework, and explains none of their time."""
    return bool(_WRAPPERS.match(name))


@lru_cache(maxsize=1 << 16)
def _kind(name: str) -> int:
    match = _ANY.match(name)
    if not match or not match.lastgroup:
        return 0
    return int(_PATTERNS[int(match.lastgroup[1:])][0])


def _matching(pattern: re.Pattern[str], names: Sequence[str], used: Int32s) -> NDArray[np.bool_]:
    present, indices = distinct(used.astype(np.int64))
    hits = np.array([index >= 0 and bool(pattern.match(names[index])) for index in present.tolist()], np.bool_)
    return hits[indices] if len(present) else np.zeros(0, np.bool_)
