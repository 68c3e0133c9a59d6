"""The names and launch shapes of a simulated step's kernels, as in the training of a convolutional network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.simulate.work import has_tensor_cores, multiplies

if TYPE_CHECKING:
    from gpuprobe.simulate.spec import Spec

COLLECTIVE = "ncclDevKernel_AllReduce_Sum_f32_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
# An operation without a GPU kernel, which TensorFlow places on the processor.
HOST_OP = "text_vectorization/LookupTableFindV2:LookupTableFindV2"
THREADS_PER_BLOCK = 256

_MATMUL = (
    ("implicit_convolve_sgemm<float, float, 1024, 5, 5, 3, 3, 3, 1>", "Conv2D"),
    ("cudnn::cnn::wgrad_alg0_engine<float, 128, 5, 5, 3, 3, 3, false, 512>", "Conv2DBackpropFilter"),
    ("cudnn::cnn::dgrad_engine<float, 512, 6, 5, 3, 3, 3, true>", "Conv2DBackpropInput"),
)
_TENSOR_CORE = (
    ("turing_fp16_s1688cudnn_fp16_128x128_ldg8_relu_f2f_exp_interior_nhwc_tn_v1", "Conv2D"),
    ("turing_fp16_s1688cudnn_fp16_128x128_ldg8_wgrad_idx_exp_interior_nhwc_nt_v1", "Conv2DBackpropFilter"),
    ("turing_fp16_s1688cudnn_fp16_128x64_ldg8_dgrad_f2f_exp_interior_nhwc_tt_v1", "Conv2DBackpropInput"),
)
_OTHER = (
    ("cudnn::bn_fw_tr_1C11_kernel_NCHW<float, float, 512, true, 1>", "FusedBatchNormV3"),
    ("cudnn::bn_bw_1C11_kernel_new<float, float, float2, 512, true, 1>", "FusedBatchNormGradV3"),
    ("Relu_GPU_DT_FLOAT_DT_FLOAT_kernel", "Relu"),
    ("AddV2_GPU_DT_FLOAT_DT_FLOAT_kernel", "AddV2"),
    ("void tensorflow::functor::ApplyAdamKernel<float>(int, float*, float*, float*)", "ResourceApplyAdam"),
)


@dataclass(frozen=True)
class Described:
    """A kernel as a profiler describes it; `op` is the name and type of TensorFlow's operation."""

    name: str
    op: str
    grid: int
    registers: int
    shared_bytes: int
    occupancy_percent: int


def kernel(spec: Spec, place: int) -> Described:
    """Describe the kernel at a place of a step, counted after fusing."""
    kernels = spec.kernels
    first = place * kernels.fused
    matmul = multiplies(kernels, first)
    grid = max(1, round(kernels.sm_fill * spec.card.sm_count))
    if kernels.fused > 1 and not matmul:
        return Described(f"fusion_{place}", f"cluster_{place}/fusion:XlaRun", grid, 32, 0, 100)
    half = kernels.dtype == "float16" and has_tensor_cores(spec.card)
    table = (_TENSOR_CORE if half else _MATMUL) if matmul else _OTHER
    name, kind = table[first % len(table)]
    layer = f"resnet/block_{first // 16}/{kind.lower()}_{first % 16}"
    if matmul:
        return Described(name, f"{layer}/{kind}:{kind}", grid, 96, 16384, 50)
    return Described(name, f"{layer}/{kind}:{kind}", grid, 24, 0, 100)
