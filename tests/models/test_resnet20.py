"""The network is the one of the Keras example, weight for weight."""

from __future__ import annotations

import pytest

keras = pytest.importorskip("keras")

from gpuprobe.models.resnet20 import resnet_v1  # noqa: E402


@pytest.mark.parametrize(
    ("depth", "parameters"), [(20, 274_442), (32, 470_218), (44, 665_994), (56, 861_770), (110, 1_742_762)]
)
def test_parameter_counts(depth: int, parameters: int) -> None:
    assert resnet_v1(depth).count_params() == parameters


def test_a_depth_that_is_not_6n_plus_2_is_refused() -> None:
    with pytest.raises(ValueError, match="6n\\+2"):
        resnet_v1(21)


def test_layers_follow_the_example() -> None:
    model = resnet_v1(20)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    shortcuts = [layer for layer in convolutions if layer.kernel_size == (1, 1)]
    normalised = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(convolutions) - len(shortcuts) == 19
    assert len(normalised) == 19
    assert [layer.filters for layer in shortcuts] == [32, 64]
    assert all(layer.strides == (2, 2) for layer in shortcuts)
    for layer in convolutions:
        assert float(layer.kernel_regularizer.l2) == pytest.approx(1e-4)
        assert type(layer.kernel_initializer).__name__ == "HeNormal"
    for addition in (layer for layer in model.layers if isinstance(layer, keras.layers.Add)):
        feeding = [node.operation for node in addition._inbound_nodes[0].parent_nodes]
        # The second convolution's BatchNorm comes in without a ReLU, and so does a projection.
        assert isinstance(feeding[1], keras.layers.BatchNormalization)
        assert isinstance(feeding[0], (keras.layers.Activation, keras.layers.Conv2D))
    assert isinstance(model.layers[-3], keras.layers.AveragePooling2D)
    assert model.layers[-3].pool_size == (8, 8)


def test_softmax_stays_float32_under_a_mixed_policy() -> None:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = resnet_v1(8)
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert model.output.dtype == "float32"
    assert model.layers[1].compute_dtype == "bfloat16"


def test_a_training_step_is_counted_as_a_multiply_add_of_two() -> None:
    import tensorflow as tf

    from gpuprobe.backends.tensorflow_flop import step_flop

    model = resnet_v1(20)
    model.compile(optimizer="adam", loss="categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    batch = (tf.TensorSpec((32, 32, 32, 3)), tf.TensorSpec((32, 10)))
    flop = step_flop(model.train_step, batch)
    assert flop is not None
    # 248.7 MFLOP a sample for forward and backward; the update and the metrics add a little for each weight.
    assert flop / 32 / 1e6 == pytest.approx(248.7, rel=0.01)


def test_a_step_without_arithmetic_has_no_count() -> None:
    import tensorflow as tf

    from gpuprobe.backends.tensorflow_flop import step_flop

    assert step_flop(tf.identity, tf.TensorSpec((4,))) is None
