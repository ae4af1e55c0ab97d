"""The networks' shapes and sizes, pinned to what the paper and the measured prototypes say."""

import random

import pytest

torch = pytest.importorskip("torch", reason="the networks need torch: pip install 'qpi-live[train]'")

from qpi_live.models.nets.blocks import DECODER_DEPTHS, ground, resize  # noqa: E402
from qpi_live.models.nets.connections import ALL_CONNECTIONS, SPARSEMASK_CONNECTIONS, Connection  # noqa: E402
from qpi_live.models.nets.mobilenet_v2 import MobileNetV2  # noqa: E402
from qpi_live.models.nets.nas_prnet import NasPRNet  # noqa: E402
from qpi_live.models.nets.super_prnet import SuperPRNet  # noqa: E402
from qpi_live.models.nets.unet import NARROW_WIDTH, UNet  # noqa: E402
from torch import nn  # noqa: E402

CHAIN = tuple(Connection.named(name) for name in ("E1_D1", "D2_D1", "E2_D2", "D4_D2", "E4_D4"))


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def giga_macs_at_1024(net: nn.Module, edge: int) -> float:
    """Multiply-accumulates of all convolutions, counted at `edge` and scaled to 1024²."""
    macs = 0

    def count(module: nn.Module, inputs: tuple, output: "torch.Tensor") -> None:
        nonlocal macs
        if isinstance(module, nn.ConvTranspose2d):
            macs += inputs[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Conv2d):
            macs += output.numel() * module.weight[0].numel()

    for module in net.modules():
        module.register_forward_hook(count)
    with torch.inference_mode():
        net.eval()(torch.zeros(1, 1, edge, edge))
    return macs * (1024 / edge) ** 2 / 1e9


def test_search_space_counted_has_the_papers_hundred_connections() -> None:
    assert len(ALL_CONNECTIONS) == len(set(ALL_CONNECTIONS)) == 100
    assert len(SuperPRNet().weights) == 100


def test_sparsemask_space_encoder_features_enter_own_and_shallower_stages_only() -> None:
    assert set(SPARSEMASK_CONNECTIONS) < set(ALL_CONNECTIONS)
    assert all(c.is_from_decoder or c.source_level >= c.target for c in SPARSEMASK_CONNECTIONS)
    assert len(SPARSEMASK_CONNECTIONS) == 8 + 28 + sum(range(1, 9))


def test_decoder_depths_follow_eight_per_level() -> None:
    assert DECODER_DEPTHS == (8, 16, 24, 32, 40, 48, 56, 64)


def test_encoder_levels_have_the_strides_and_depths_of_mobilenet_v2() -> None:
    with torch.inference_mode():
        features = MobileNetV2().eval()(torch.zeros(1, 1, 64, 96))
    assert [feature.shape[1] for feature in features] == [16, 24, 32, 64, 96, 160, 320, 1280]
    assert [(64 // f.shape[2], 96 // f.shape[3]) for f in features] == [(s, s) for s in (2, 4, 8, 16, 16, 32, 32, 32)]


@pytest.mark.parametrize(
    ("net", "expected_parameters", "expected_gmacs"),
    [
        (MobileNetV2, 2_223_296, 6.108),
        (SuperPRNet, 11_143_597, 14.425),
        (lambda: UNet(NARROW_WIDTH), 326_029, 8.481),
    ],
)
def test_network_size_counted_matches_its_docstring(net, expected_parameters: int, expected_gmacs: float) -> None:
    built = net()
    assert parameters(built) == expected_parameters
    # G's 3×3 cells do not shrink with the frame, which leaves a trace in the scaled count.
    assert giga_macs_at_1024(built, 512) == pytest.approx(expected_gmacs, rel=0.01)


def test_unet_of_the_papers_width_has_thirty_seven_million_parameters() -> None:
    with torch.device("meta"):
        assert parameters(UNet()) == 36_956_161


def test_nasprnet_random_graphs_of_thirty_nine_have_about_the_papers_five_million_parameters() -> None:
    rng = random.Random(0)
    sizes = []
    for _ in range(9):
        with torch.device("meta"):
            sizes.append(parameters(NasPRNet(rng.sample(ALL_CONNECTIONS, 39))) / 1e6)
    assert 4.0 < sorted(sizes)[4] < 6.5


@pytest.mark.parametrize("net", [SuperPRNet, lambda: NasPRNet(CHAIN), lambda: UNet(4)])
@pytest.mark.parametrize("shape", [(64, 64), (96, 160)])
def test_network_any_allowed_shape_returns_that_shape_in_zero_to_one(net, shape: tuple[int, int]) -> None:
    with torch.inference_mode():
        phase = net().eval()(torch.rand(2, 1, *shape))
    assert phase.shape == (2, 1, *shape)
    assert 0 <= phase.min() <= phase.max() <= 1


@pytest.mark.parametrize(("net", "stride"), [(SuperPRNet, 32), (lambda: NasPRNet(CHAIN), 16), (lambda: UNet(4), 16)])
def test_network_shape_that_the_strides_forbid_is_refused_with_a_remedy(net, stride: int) -> None:
    with pytest.raises(ValueError, match=rf"that {stride} divides, got 1023×64; crop or pad to"):
        net().eval()(torch.zeros(1, 1, 1023, 64))
    with pytest.raises(ValueError, match=r"\(B, 1, H, W\), got \(1, 3, 64, 64\)"):
        net().eval()(torch.zeros(1, 3, 64, 64))


def test_nasprnet_without_deep_connections_builds_no_deep_encoder() -> None:
    assert len(NasPRNet(CHAIN).encoder.stages) == 4


@pytest.mark.parametrize("size", [1, 2, 3, 8, 32])
def test_ground_any_size_equals_the_adaptive_average_pool(size: int) -> None:
    feature = torch.rand(2, 5, size, size + 7)
    torch.testing.assert_close(ground(feature), nn.functional.adaptive_avg_pool2d(feature, 3))


def test_fusing_sum_before_resize_equals_resize_of_each_term() -> None:
    """Eq. 5 says to resize each term; NasPRNet sums those of one resolution first."""
    torch.manual_seed(0)
    net = NasPRNet((*CHAIN, Connection.named("E5_D2"), Connection.named("E4_D2"))).eval()
    features = {f"E{i}": f for i, f in enumerate(net.encoder(torch.rand(1, 1, 64, 64)), start=1)}
    features["D4"] = net.stages["D4"](net._fused(4, features))
    size = features["E2"].shape[-2:]
    one_by_one = sum(resize(net.fuse[c.name](features[c.source]), size) for c in net.connections if c.target == 2)
    torch.testing.assert_close(net._fused(2, features), one_by_one)


def test_supernet_weight_of_zero_equals_the_connection_removed() -> None:
    torch.manual_seed(0)
    net = SuperPRNet().eval()
    interferogram = torch.rand(1, 1, 64, 64)
    index = net.connections.index(Connection.named("E3_D1"))
    with torch.inference_mode():
        net.weights[index] = 0
        without = net(interferogram)
        net.fuse["E3_D1"].conv.weight.fill_(1e3)
        torch.testing.assert_close(net(interferogram), without)


def test_supernet_clamp_brings_weights_back_into_zero_to_one() -> None:
    net = SuperPRNet()
    with torch.no_grad():
        net.weights[:2] = torch.tensor([-0.3, 1.7])
    net.clamp_weights()
    assert net.weights[:2].tolist() == [0, 1]


def test_network_for_frames_of_any_size_is_captured_at_the_exporters_first_attempt() -> None:
    """By the quick way, which follows no Python; its second attempt takes twice as long, of a minute or more."""
    net = NasPRNet([Connection.named("E1_D1"), Connection.named("E2_D1")]).eval()
    sides = {2: 16 * torch.export.Dim("rows", min=3, max=64), 3: 16 * torch.export.Dim("columns", min=3, max=64)}
    program = torch.export.export(net, (torch.zeros(1, 1, 48, 64),), dynamic_shapes=(sides,), strict=False)
    for shape in ((48, 64), (96, 80)):
        image = torch.rand(1, 1, *shape)
        torch.testing.assert_close(program.module()(image), net(image))
