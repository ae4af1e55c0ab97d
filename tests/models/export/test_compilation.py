"""`qpi compile`, on a library that runs networks on ONNX Runtime, and on TensorRT for RTX, without a GPU."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("onnx", reason="compiling needs onnx: pip install 'qpi-live[gpu]'")

import onnx
from qpi_live.camera.device import DeviceUnavailable
from qpi_live.models.artifacts import tensorrt_library
from qpi_live.models.artifacts.checksum import sha256
from qpi_live.models.artifacts.compiled_network import CompiledCard, card_path
from qpi_live.models.artifacts.compiler import CompilerLibrary
from qpi_live.models.artifacts.sizes import Sizes
from qpi_live.models.artifacts.tensorrt_library import RTX, TensorRtLibrary, choose_library
from qpi_live.models.engines.onnx import SHIPPED
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.export.compilation import Plan, check_compiled, compile_network, is_current
from qpi_live.models.export.precision import stamped, to_fp16, to_int8
from qpi_live.models.export.tensorrt_graph import for_tensorrt
from qpi_live.models.training.simulate import simulate_pair
from qpi_live.service.cli.main import app

from tests.models.small_network import BENCH, passport, small_network, written
from tests.onnx_library import OnnxLibrary, host_gpu

SIZES = Sizes.parse("96x128")


def quiet(share: float, step: str) -> None:
    """Nobody watches."""


def plan(folder: Path, model: Path, precision: str | None = None, sizes: Sizes = SIZES) -> Plan:
    return Plan(model, folder / "engines.trt", precision, sizes, ((8, 9),))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return written(tmp_path, small_network())


def test_compile_on_a_gpu_writes_the_engine_and_a_card_with_its_accuracy(tmp_path: Path, small: Path) -> None:
    wanted = plan(tmp_path, small)
    made = compile_network(wanted, OnnxLibrary(), host_gpu(), quiet)
    card = CompiledCard.load(wanted.out)
    assert card == made
    assert card.sha256 == sha256(wanted.out.read_bytes())
    assert (card.model, card.model_sha256) == ("small.onnx", sha256(small.read_bytes()))
    assert (card.library, card.version) == ("onnx_on_host", "1.0")
    assert (card.gpu, card.capabilities) == ("Host GPU", ((8, 9),))
    assert (card.precision, card.sizes) == ("fp16", SIZES)
    assert card.network == passport()
    assert card.accuracy is not None
    assert card.accuracy_note is None
    assert (card.accuracy.frames, card.accuracy.with_truth) == (5, 3)
    assert 0 < card.accuracy.largest_difference_rad < 0.02
    assert abs(card.accuracy.loss_db) < 0.1
    document = json.loads(card_path(wanted.out).read_text())
    assert document["accuracy"]["loss_db"] == pytest.approx(card.accuracy.loss_db)


def test_compile_without_a_gpu_says_why_nothing_was_measured_and_check_measures_it_later(
    tmp_path: Path, small: Path
) -> None:
    wanted = plan(tmp_path, small)
    made = compile_network(wanted, OnnxLibrary(), None, quiet)
    assert made.accuracy is None
    assert made.accuracy_note is not None
    assert "qpi compile --check engines.trt" in made.accuracy_note
    assert made.graph_accuracy.with_truth == 3
    checked = check_compiled(wanted.out, small, OnnxLibrary(), host_gpu())
    assert checked.accuracy is not None
    assert (
        CompiledCard.load(wanted.out)
        == checked
        == made.model_copy(update={"accuracy": checked.accuracy, "accuracy_note": None})
    )


def test_check_against_another_network_is_refused(tmp_path: Path, small: Path) -> None:
    wanted = plan(tmp_path, small)
    compile_network(wanted, OnnxLibrary(), None, quiet)
    other = written(tmp_path, small_network(gain=2.0), "other.onnx")
    with pytest.raises(EngineUnavailable, match=r"expected the network that engines\.trt was made of \(small\.onnx"):
        check_compiled(wanted.out, other, OnnxLibrary(), host_gpu())


def test_compile_into_an_engine_that_loses_too_much_writes_nothing(tmp_path: Path, small: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"the compiled network: expected fp16 to lose less .*nothing was"):
        compile_network(plan(tmp_path, small), OnnxLibrary(error_rad=2.0), host_gpu(), quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]


def test_compile_of_a_network_that_fp16_cannot_hold_is_refused_before_it_is_built(tmp_path: Path) -> None:
    model = written(tmp_path, small_network(gain=1e-6))
    with pytest.raises(EngineUnavailable, match="the network: expected fp16 to lose less than"):
        compile_network(plan(tmp_path, model), OnnxLibrary(), None, quiet)
    assert compile_network(plan(tmp_path, model, "fp32"), OnnxLibrary(), None, quiet).precision == "fp32"


def test_compile_that_fails_leaves_the_engine_that_was_there(tmp_path: Path, small: Path) -> None:
    wanted = plan(tmp_path, small)
    made = compile_network(wanted, OnnxLibrary(), host_gpu(), quiet)
    with pytest.raises(EngineUnavailable):
        compile_network(wanted, OnnxLibrary(error_rad=2.0), host_gpu(), quiet)
    assert CompiledCard.load(wanted.out) == made
    assert made.why_altered(wanted.out, wanted.out.read_bytes()) is None


@pytest.mark.parametrize(
    ("precision", "size", "complaint"),
    [
        ("int8", "96x128", r"expected a network in int8, got small\.onnx in fp32; export it so: qpi export .*int8"),
        ("fp8", "96x128", "expected a precision among fp32, fp16, int8, got 'fp8'"),
        (None, "98x128", "whose height and width 4 divides, got 98 × 128"),
        (None, "64-98", "whose height and width 4 divides, got 98 × 98"),
    ],
)
def test_compile_of_what_the_network_is_not_is_refused(
    tmp_path: Path, small: Path, precision: str | None, size: str, complaint: str
) -> None:
    with pytest.raises(EngineUnavailable, match=complaint):
        compile_network(plan(tmp_path, small, precision, Sizes.parse(size)), OnnxLibrary(), None, quiet)


def test_stamped_network_says_nothing_but_the_stamp() -> None:
    model = onnx.shape_inference.infer_shapes(small_network())

    def parts(of: onnx.ModelProto) -> list:
        graph = of.graph
        return [graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]

    for part in [model, *parts(model)]:
        entry = part.metadata_props.add()
        entry.key, entry.value = "trace", "/home/somebody"
    clean = stamped(model, {"a": "b"})
    assert [(entry.key, entry.value) for entry in clean.metadata_props] == [("a", "b")]
    assert not any(part.metadata_props for part in parts(clean))


def test_compile_of_a_file_that_qpi_export_did_not_write_is_refused(tmp_path: Path) -> None:
    model = small_network()
    model = stamped(model, {})
    with pytest.raises(EngineUnavailable, match="expected a network exported by `qpi export`"):
        compile_network(plan(tmp_path, written(tmp_path, model)), OnnxLibrary(), None, quiet)
    with pytest.raises(EngineUnavailable, match=r"expected a network at .*none\.onnx, got no such file"):
        compile_network(plan(tmp_path, tmp_path / "none.onnx"), OnnxLibrary(), None, quiet)
    (tmp_path / "noise.onnx").write_bytes(b"not a network")
    with pytest.raises(EngineUnavailable, match="expected an ONNX network at"):
        compile_network(plan(tmp_path, tmp_path / "noise.onnx"), OnnxLibrary(), None, quiet)


def test_is_current_holds_until_anything_changes(tmp_path: Path, small: Path) -> None:
    library, device, wanted = OnnxLibrary(), host_gpu(), plan(tmp_path, small)
    assert not is_current(wanted, library, device)
    compile_network(wanted, library, device, quiet)
    assert is_current(wanted, library, device)
    assert is_current(replace(wanted, precision="fp16"), library, device)
    assert not is_current(replace(wanted, precision="fp32"), library, device)
    assert not is_current(replace(wanted, sizes=Sizes.parse("64")), library, device)
    assert not is_current(replace(wanted, capabilities=((8, 6),)), library, device)
    assert not is_current(wanted, OnnxLibrary(version="2.0"), device)
    assert not is_current(wanted, library, host_gpu("Other GPU"))
    engine = wanted.out.read_bytes()
    wanted.out.write_bytes(engine[:-1])
    assert not is_current(wanted, library, device)
    wanted.out.write_bytes(engine)
    onnx.save(small_network(gain=2.0), small)
    assert not is_current(wanted, library, device)


class Installed(OnnxLibrary):
    """A library that says what it builds for."""

    def __init__(self, name: str, targets: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self.name = name
        self._targets = targets

    def targets(self) -> tuple[tuple[int, int], ...]:
        return self._targets

    def supports(self, capability: tuple[int, int]) -> bool:
        return capability in self._targets


@pytest.mark.parametrize(
    ("there", "gpu", "targets", "chosen"),
    [
        (("tensorrt", "tensorrt_rtx"), (8, 9), [(8, 9)], "tensorrt"),
        (("tensorrt", "tensorrt_rtx"), (9, 0), [(9, 0)], "tensorrt"),
        (("tensorrt", "tensorrt_rtx"), (9, 0), [(8, 6), (12, 0)], "tensorrt_rtx"),
        (("tensorrt_rtx",), (8, 9), [(8, 9)], "tensorrt_rtx"),
        (("tensorrt_rtx",), None, [(8, 6)], "tensorrt_rtx"),
    ],
)
def test_choose_library_takes_tensorrt_where_it_can_else_the_one_for_rtx(
    monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], gpu, targets, chosen: str
) -> None:
    libraries = {name: Installed(name, ((8, 6), (8, 9), (12, 0))) for name in there}
    monkeypatch.setattr(tensorrt_library, "_installed", libraries.get)
    assert choose_library(gpu, targets).name == chosen


@pytest.mark.parametrize(
    ("there", "gpu", "complaint"),
    [
        ((), (9, 0), "expected TensorRT, got none installed: pip install"),
        (("tensorrt",), (8, 9), r"a GPU of compute capability 9\.0, .* got 8\.9; compile on the machine"),
        (("tensorrt",), None, "got no GPU"),
        (("tensorrt_rtx",), (9, 0), r"builds for \(8\.6, 8\.9, 12\.0\), got 9\.0"),
    ],
)
def test_choose_library_where_none_builds_for_the_gpu_says_which_would(
    monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], gpu, complaint: str
) -> None:
    libraries = {name: Installed(name, ((8, 6), (8, 9), (12, 0))) for name in there}
    monkeypatch.setattr(tensorrt_library, "_installed", libraries.get)
    with pytest.raises(EngineUnavailable, match=complaint):
        choose_library(gpu, [(9, 0)])


@pytest.fixture(scope="module")
def rtx() -> CompilerLibrary:
    return TensorRtLibrary(
        pytest.importorskip(RTX, reason="building for real needs it: pip install 'qpi-live[tensorrt-rtx]'")
    )


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The shipped network and its size; until there is one, a NAS-PRNet of two connections with random weights."""
    if SHIPPED.is_file():
        return SHIPPED, "256"
    pytest.importorskip("torch", reason="no network ships, and making one needs torch: pip install 'qpi-live[train]'")
    pytest.importorskip("onnxscript", reason="no network ships, and exporting one needs onnxscript")
    return random_nas_prnet(tmp_path_factory.mktemp("network") / "nasprnet.onnx"), "96x128"


def random_nas_prnet(path: Path) -> Path:
    from qpi_live.models.artifacts.agreement import Probe
    from qpi_live.models.export.onnx_file import export

    from tests.models.random_checkpoint import random_checkpoint

    pairs = [simulate_pair(BENCH, "nominal", seed) for seed in (1, 2)]
    probes = [Probe(pair.pixels, pair.phase_rad) for pair in pairs]
    export(random_checkpoint(pairs[0].pixels), path, probes, shape=BENCH.shape)
    return path


def test_qpi_compile_for_named_gpus_builds_an_engine_without_one(
    tmp_path: Path, network: tuple[Path, str], rtx: CompilerLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpi_live.camera.gpu.cuda_device.open_device", no_gpu)
    model, size = network
    out = tmp_path / "nasprnet.trt"
    words = ["compile", str(model), "-o", str(out), "--for", "8.6", "--for", "12.0", "--size", size]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert f"tensorrt_rtx {rtx.version}" in done.output
    card = CompiledCard.load(out)
    assert card.capabilities == ((8, 6), (12, 0))
    assert card.gpu is None
    assert card.precision == "fp16"
    assert card.why_altered(out, out.read_bytes()) is None
    assert card.accuracy is None
    assert card.graph_accuracy.frames == 5
    assert card.graph_accuracy.loss_db < 0.1
    again = CliRunner().invoke(app, [*words, "--reuse"])
    assert "up to date" in again.output
    monkeypatch.setattr("qpi_live.models.engines.tensorrt.open_cuda_device", no_gpu)
    refused = CliRunner().invoke(app, ["serve", "--engine", str(out), "--port", "0"])
    assert refused.exit_code == 2
    assert "nasprnet.trt needs a GPU: expected an NVIDIA GPU, got none" in " ".join(refused.output.split())
    engine = bytearray(out.read_bytes())
    engine[len(engine) // 2] ^= 1
    out.write_bytes(engine)
    refused = CliRunner().invoke(app, ["serve", "--engine", str(out), "--port", "0"])
    assert "cut short or altered" in " ".join(refused.output.split())
    assert "up to date" not in CliRunner().invoke(app, [*words, "--reuse"]).output
    assert CompiledCard.load(out).sha256 == card.sha256  # built again, and the same


def no_gpu() -> None:
    raise DeviceUnavailable("expected an NVIDIA GPU, got none")


def test_qpi_compile_without_a_gpu_or_a_target_asks_for_one(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qpi_live.camera.gpu.cuda_device.open_device", no_gpu)
    done = CliRunner().invoke(app, ["compile", str(small), "-o", str(tmp_path / "out.trt")])
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert "expected --for with the compute capability of the GPU that will run it, such as --for 8.9" in said
    assert "pip install 'qpi-live[tensorrt-rtx]' builds without one" in said
    done = CliRunner().invoke(app, ["compile", str(small), "-o", str(tmp_path / "out.trt"), "--for", "ampere"])
    assert "expected --for with a compute capability such as 8.9, got 'ampere'" in " ".join(done.output.split())
    assert not (tmp_path / "out.trt").exists()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_rtx_builds_each_precision_the_same_twice(
    network: tuple[Path, str], rtx: CompilerLibrary, precision: str
) -> None:
    path, size = network
    model = onnx.load(path)
    if precision == "fp16":
        model = to_fp16(model)
    elif precision == "int8":
        model = to_int8(model, [simulate_pair(BENCH, "nominal", seed).pixels for seed in (1, 2)])
    graph = for_tensorrt(model, Sizes.parse(size)).SerializeToString()
    shares: list[float] = []

    def note(share: float, step: str) -> None:
        shares.append(share)

    engines = [rtx.build(graph, Sizes.parse(size), [(8, 9)], note) for _ in range(2)]
    assert len(engines[0]) > 1000
    assert engines[0] == engines[1]
    assert 0 <= min(shares) < 0.5 < max(shares) <= 1


@pytest.mark.parametrize("bit_depth", [8, 12])
def test_rtx_builds_for_a_range_of_sizes_and_16_bit_frames(rtx: CompilerLibrary, bit_depth: int) -> None:
    sizes = Sizes.parse("64-96x128-256")
    graph = for_tensorrt(to_fp16(small_network(bit_depth)), sizes)
    assert rtx.build(graph.SerializeToString(), sizes, [(8, 9), (12, 0)], quiet)


def test_rtx_given_what_is_no_network_says_what_it_found(rtx: CompilerLibrary) -> None:
    with pytest.raises(EngineUnavailable, match=r"expected a network that tensorrt_rtx reads, got: .*arse"):
        rtx.build(b"not a network", SIZES, [(8, 9)], quiet)


def test_rtx_interrupted_within_a_build_stops_it(rtx: CompilerLibrary) -> None:
    def interrupt(share: float, step: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rtx.build(for_tensorrt(small_network(), SIZES).SerializeToString(), SIZES, [(8, 9)], interrupt)
