"""Checkpoints: what is saved comes back, and what is broken, foreign or hostile is refused."""

import io
import itertools
import json
import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as serialize

from mario_a3c import checkpoint
from mario_a3c.checkpoint import (
    CheckpointError,
    load_agent,
    round_to_half,
    save_agent,
    score_of,
    to_bytes,
)
from mario_a3c.header import ITEM_SIZES, NO_DIGEST, HeaderError, read_header, signed
from mario_a3c.learning.flat import FlatParameters
from mario_a3c.learning.model import ActorCritic
from mario_a3c.learning.spec import ModelSpec
from mario_a3c.training.resume import load_state, save_state
from tests.small import SPEC

TINY = ModelSpec(observation_shape=(2,), num_actions=2, hidden=(2,), lstm_size=1)
METADATA = {"task": "small", "steps": 7, "evaluation": {"score": 1.5}}


def make_agent(spec: ModelSpec = SPEC) -> ActorCritic:
    torch.manual_seed(1)
    model = ActorCritic(spec)
    round_to_half(FlatParameters(model).values)
    return model


def weights_of(model: ActorCritic) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def refusal(path: Path) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(CheckpointError) as refused:
        load_agent(path)
    return sentence_about(path, refused.value)


def sentence_about(path: Path, error: CheckpointError) -> str:
    """Check that an error is one sentence that may be shown in a terminal, and return it."""
    sentence = str(error)
    assert sentence.isprintable()
    assert len(sentence) <= 600
    assert sentence.endswith(".")
    assert str(path) in sentence
    return sentence


def write(path: Path, tensors: dict[str, torch.Tensor], **metadata: Any) -> Path:
    """Write a file with a right digest, whatever it holds."""
    path.write_bytes(to_bytes(tensors, {"spec": TINY.to_dict(), **metadata}))
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A file with a tiny agent, so small that each of its bytes can be tried."""
    save_agent(tmp_path / "agent.safetensors", make_agent(TINY), METADATA)
    return tmp_path / "agent.safetensors"


def test_an_agent_comes_back_with_its_weights_and_what_is_known_of_it(tmp_path):
    model = make_agent()
    save_agent(tmp_path / "agent.safetensors", model, METADATA)
    agent = load_agent(tmp_path / "agent.safetensors")
    assert agent.metadata == {**METADATA, "spec": json.loads(json.dumps(SPEC.to_dict()))}
    assert agent.model.spec == SPEC
    for name, value in model.state_dict().items():
        assert torch.equal(agent.model.state_dict()[name], value)


def test_statistics_of_observations_are_kept_whole(tmp_path):
    model = make_agent(ModelSpec((3,), 2, normalize=True))
    assert model.normalizer is not None
    model.normalizer.statistics.copy_(torch.tensor([[1e9 + 1], [2.0], [3.0]]).expand(3, 3))
    save_agent(tmp_path / "agent.safetensors", model, {})
    loaded = load_agent(tmp_path / "agent.safetensors").model.normalizer
    assert loaded is not None
    assert torch.equal(loaded.statistics, model.normalizer.statistics)


def test_an_agent_is_saved_in_half_precision(tmp_path):
    save_agent(tmp_path / "agent.safetensors", make_agent(), {})
    parameters = sum(p.numel() for p in make_agent().parameters())
    assert 2 * parameters < (tmp_path / "agent.safetensors").stat().st_size < 2.2 * parameters


def test_weights_that_half_precision_cannot_hold_are_not_saved(tmp_path):
    model = make_agent()
    with torch.no_grad():
        model.value.bias.fill_(1e6)
    with pytest.raises(CheckpointError, match=r"value\.bias"):
        save_agent(tmp_path / "agent.safetensors", model, {})
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_first_format_still_loads(tmp_path):
    model = make_agent(TINY)
    text = {"format": "mario_a3c/1", "metadata": json.dumps({"spec": TINY.to_dict()})}
    (tmp_path / "old.safetensors").write_bytes(serialize(weights_of(model), text))
    assert load_agent(tmp_path / "old.safetensors").model.spec == TINY


def test_a_file_cut_off_at_any_length_is_refused(saved):
    content = saved.read_bytes()
    for length in range(len(content)):
        saved.write_bytes(content[:length])
        refusal(saved)


def test_a_file_with_any_bit_flipped_is_refused(saved):
    content = bytearray(saved.read_bytes())
    for position, bit in itertools.product(range(len(content)), range(8)):
        content[position] ^= 1 << bit
        with pytest.raises(HeaderError):
            read_header(bytes(content))
        if bit == position % 8:  # one of each byte by way of a file, which takes longer
            saved.write_bytes(content)
            refusal(saved)
        content[position] ^= 1 << bit


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "There is no checkpoint" in refusal(tmp_path / "none.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    assert "There is no checkpoint" in refusal(tmp_path / "folder.safetensors")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "There is no checkpoint" in refusal(tmp_path / "pipe.safetensors")


def test_a_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(serialize({"x": torch.ones(3)}, {"format": "pt"}))
    assert "not a checkpoint of this program" in refusal(path)
    path.write_bytes(serialize({"x": torch.ones(3)}))
    assert "no header of ours" in refusal(path)


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.trace,)


def test_a_pickle_is_refused_and_its_payload_does_not_run(tmp_path):
    trace = tmp_path / "ran"
    whole = io.BytesIO()
    torch.save({"weights": Bomb(trace)}, whole)
    for content in (pickle.dumps(Bomb(trace)), whole.getvalue()):
        (tmp_path / "bomb.safetensors").write_bytes(content)
        refusal(tmp_path / "bomb.safetensors")
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists()  # it would have


def test_a_link_out_of_the_folder_is_not_followed(saved, tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    (folder / "out.safetensors").symlink_to(saved)
    assert "link out of its folder" in refusal(folder / "out.safetensors")
    (folder / "loop.safetensors").symlink_to(folder / "loop.safetensors")
    refusal(folder / "loop.safetensors")


def test_a_link_inside_the_folder_is_followed(saved):
    (saved.parent / "best.safetensors").symlink_to(saved.name)
    assert load_agent(saved.parent / "best.safetensors").metadata["steps"] == 7


def test_metadata_that_is_not_json_is_refused(tmp_path):
    for text in ("{", "[" * 100_000, "[]", "7", "1" * 10_000):
        header = {"format": "mario_a3c/1", "metadata": text}
        (tmp_path / "a.safetensors").write_bytes(serialize(weights_of(make_agent(TINY)), header))
        assert "metadata" in refusal(tmp_path / "a.safetensors")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    for culprit in (torch.nan, torch.inf):
        tensors = weights_of(make_agent(TINY))
        tensors["value.weight"][0, 0] = culprit
        assert "'value.weight'" in refusal(write(tmp_path / "nan.safetensors", tensors))


def test_weights_of_another_shape_name_or_kind_are_refused(tmp_path):
    path = tmp_path / "odd.safetensors"
    good = weights_of(make_agent(TINY))
    for changed in (
        {**good, "value.weight": torch.zeros(1, 2)},
        {**good, "value.weight": torch.zeros(1, 1, 1)},
        {**good, "value.weight": torch.zeros(1, 1, dtype=torch.float64)},
        {**good, "value.weight": torch.zeros(1, 1, dtype=torch.int64)},
        {**good, "value.weight": torch.zeros(1, 1, dtype=torch.complex64)},
        {**good, "another": torch.zeros(1)},
        {name: value for name, value in good.items() if name != "value.weight"},
        {},
    ):
        sentence = refusal(write(path, changed))
        assert "value.weight" in sentence or "another" in sentence or "encoder" in sentence


@pytest.mark.parametrize(
    "spec",
    [
        {"lstm_size": 10**9},
        {"lstm_size": 10**18},
        {"lstm_size": 10**30},
        {"lstm_size": -1},
        {"lstm_size": "8"},
        {"lstm_size": None},
        {"num_actions": 10**12},
        {"hidden": [10**10]},
        {"hidden": [1] * 100_000},
        {"observation_shape": []},
        {"observation_shape": 3},
        {"observation_shape": [4, 84, 10**9]},
        {"observation_shape": [10**6, 84, 84], "network": "reference"},
        {"network": "unknown", "observation_shape": [4, 84, 84]},
        {"unknown": 1},
    ],
    ids=lambda spec: str(spec)[:50],
)
def test_a_network_that_is_only_claimed_is_refused_before_it_is_allocated(tmp_path, spec):
    path = write(
        tmp_path / "huge.safetensors",
        weights_of(make_agent(TINY)),
        spec=TINY.to_dict() | spec,
    )
    tracemalloc.start()
    refusal(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6
    assert resident_peak() < 3e9


def resident_peak() -> int:
    """Return the most memory that this process ever held."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def test_tensors_that_are_only_claimed_are_refused(tmp_path):
    header: dict[str, Any] = {"__metadata__": {"format": "mario_a3c/1", "metadata": "{}"}}
    header["x"] = {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    assert "damaged" in refusal(tmp_path / "a.safetensors")


def test_a_header_that_is_only_claimed_is_refused(tmp_path):
    for length in (2**20 + 1, 2**40, 2**64 - 1):
        (tmp_path / "a.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}" * 100)
        assert "no header of ours" in refusal(tmp_path / "a.safetensors")


def test_a_file_larger_than_allowed_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LARGEST_FILE", 2**20)
    with (tmp_path / "sparse.safetensors").open("wb") as file:
        file.truncate(2**40)
    assert "more than 1 MiB" in refusal(tmp_path / "sparse.safetensors")


type Header = dict[str, Any]


def described_tensors() -> tuple[Header, bytes]:
    """Return what a header says of a tiny agent's tensors, and the bytes that follow it."""
    content = serialize(weights_of(make_agent(TINY)))
    length = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:length]), content[length:]


def file_of(header: Header, data: bytes, resign: bool = False) -> bytes:
    """Return a file with any header; with the right digest, if it is to be signed again."""
    text = json.dumps(header, separators=(",", ":")).encode()
    content = len(text).to_bytes(8, "little") + text + data
    return signed(content) if resign else content


def file_like_ours(changes: dict[str, Header], kind: str = "mario_a3c/1", **ours: Any) -> bytes:
    """Return a file that would load if the descriptions of some tensors were not changed.

    Args:
        changes: for a tensor's name, the parts of its description that become others.
        kind: the format that it claims to be of.
        **ours: what else becomes other in our own part of the header.
    """
    header, data = described_tensors()
    for name, change in changes.items():
        header[name] = header.get(name, {}) | change
    metadata = json.dumps({"spec": TINY.to_dict()})
    header["__metadata__"] = {"format": kind, "digest": NO_DIGEST, "metadata": metadata} | ours
    return file_of(header, data, resign=kind == "mario_a3c/2")


EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
EVIL = "F\n\x1b[31m\u202e" + "x" * 1000


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"value.bias": {"shape": [1] * 65}}, "'value.bias' has an impossible shape"),
        ({"x": EMPTY | {"shape": [0, 2**63]}}, "'x' has an impossible shape"),
        ({"x": EMPTY | {"shape": [0] * 9}}, "'x' has an impossible shape"),
        ({"x": EMPTY | {"shape": [-1, -1]}}, "'x' has an impossible shape"),
        ({"x": EMPTY | {"shape": [True]}}, "'x' has an impossible shape"),
        ({"x": EMPTY | {"shape": [2**62]}}, "'x' has an impossible shape"),
        ({"x": EMPTY | {"data_offsets": [0, 2**62]}}, "the bytes of 'x' are not as many"),
        ({"x": EMPTY | {"data_offsets": [4, 0]}}, "the bytes of 'x' are not as many"),
        ({"x": EMPTY | {"data_offsets": [1, 1]}}, "does not follow the tensor before it"),
        ({"x": EMPTY | {"data_offsets": [2**62, 2**62]}}, "does not follow the tensor before it"),
        ({"x": EMPTY | {"note": 1}}, "does not say what 'x' is"),
        ({"value.bias": {"dtype": EVIL}}, "numbers of an odd kind, in 'value.bias'"),
        ({"value.bias": {"dtype": ["F32"]}}, "numbers of an odd kind, in 'value.bias'"),
        ({EVIL: EMPTY | {"data_offsets": [1, 1]}}, r"'F\n\x1b[31m\u202ex"),
        ({EVIL: {}}, r"'F\n\x1b[31m\u202ex"),
    ],
    ids=lambda value: str(value)[:50],
)
@pytest.mark.parametrize("kind", ["mario_a3c/1", "mario_a3c/2"])
def test_what_a_header_says_of_its_tensors_is_held_against_the_bytes(
    tmp_path, capfd, kind, changes, told
):
    save_state(tmp_path, 1, {"weights": torch.ones(3)}, {"step": 1}, keep=3)
    path = tmp_path / "resume-000000000002.safetensors"
    path.write_bytes(file_like_ours({}, kind))
    assert load_agent(path).model.spec == TINY
    path.write_bytes(file_like_ours(changes, kind))
    assert told in refusal(path)
    assert score_of(path) == float("-inf")
    assert list(load_state(tmp_path)[2]) == [path]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("digest", ["\ud800", "", "0" * 63, "0" * 65, "é" * 64, 7, None, ["0"], {}])
def test_a_digest_that_is_none_is_refused(tmp_path, digest):
    path = tmp_path / "agent.safetensors"
    header, data = described_tensors()
    header["__metadata__"] = {"format": "mario_a3c/2", "digest": digest, "metadata": "{}"}
    path.write_bytes(file_of(header, data))
    assert "its digest does not fit its content" in refusal(path)


def test_a_name_that_stands_twice_in_a_header_is_refused(tmp_path):
    content = file_like_ours({})[8:]
    twice = b'{"value.bias":' + json.dumps(EMPTY).encode() + b"," + content[1:]
    (tmp_path / "a.safetensors").write_bytes((twice.index(b"}}") + 2).to_bytes(8, "little") + twice)
    assert "no header of ours" in refusal(tmp_path / "a.safetensors")


def test_a_score_that_is_no_number_counts_for_nothing(saved):
    for score in (10**400, "best", None, [1]):
        save_agent(saved, make_agent(TINY), {"evaluation": {"score": score}})
        assert score_of(saved) == float("-inf")


LIMITED = """
import resource, sys
from pathlib import Path
from mario_a3c.checkpoint import CheckpointError, load_agent, read_tensors

load_agent(Path(sys.argv[1]))  # whatever is loaded the first time is there
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 2**28
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    bytearray(2**28 + 2**26)
    sys.exit("the limit does not hold")
except MemoryError:
    pass
for path in sys.argv[2:]:
    try:
        load_agent(Path(path))
        sys.exit(f"{path} was loaded")
    except CheckpointError as error:
        print(error)
"""


def test_what_is_only_claimed_is_refused_within_a_quarter_of_a_gibibyte(saved, tmp_path):
    header = {"__metadata__": {"format": "mario_a3c/1", "metadata": "{}"}}
    huge = {"dtype": "F32", "shape": [2**31 - 1], "data_offsets": [0, 4 * (2**31 - 1)]}
    contents = {
        "length": (2**40).to_bytes(8, "little") + b"{}" * 100,
        "tensor": file_of(header | {"x": huge}, b""),
        "shape": file_like_ours({"value.bias": {"shape": [1] * 65}}),
        "empty": file_like_ours({"x": EMPTY | {"shape": [0, 2**31 - 1, 2**31 - 1]}}),
        "metadata": file_like_ours({}, metadata="[" * 10**6),
    }
    for size in ({"lstm_size": 10**9}, {"hidden": [10**5, 10**5]}, {"num_actions": 10**12}):
        spec = {"spec": TINY.to_dict() | size}
        contents[next(iter(size))] = to_bytes(weights_of(make_agent(TINY)), spec)
    paths = [tmp_path / f"{name}.safetensors" for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    with (tmp_path / "sparse.safetensors").open("wb") as file:
        file.truncate(2**40)
    paths.append(tmp_path / "sparse.safetensors")
    command = [sys.executable, "-c", LIMITED, str(saved), *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert [line.split()[0] for line in run.stdout.splitlines()] == [str(path) for path in paths]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
SPECS = st.dictionaries(st.sampled_from(sorted(TINY.to_dict())), VALUES, max_size=4)


NUMBERS = st.integers(-2, 70) | st.sampled_from([2**31, 2**62, 2**63, 2**64, 10**400])
TEXTS = st.text(st.characters(), max_size=9)  # with what UTF-8 cannot hold
TENSORS = sorted(described_tensors()[0])
DESCRIPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from([*ITEM_SIZES, "F8_E4M3", "BOOL", "C64"]) | TEXTS,
        "shape": st.lists(NUMBERS, max_size=4) | NUMBERS.map(lambda n: [1] * min(n, 70)),
        "data_offsets": st.lists(NUMBERS, max_size=3),
        "other": VALUES,
    },
)
CHANGES = st.dictionaries(st.sampled_from(TENSORS) | TEXTS, DESCRIPTIONS, max_size=3)
OURS = st.fixed_dictionaries(
    {}, optional={"metadata": TEXTS | VALUES.map(json.dumps), "digest": VALUES, "more": VALUES}
)
KINDS = st.sampled_from(["mario_a3c/1", "mario_a3c/2"])


def refused_or_loaded(path: Path, content: bytes) -> str:
    """Load a file, which may raise a sentence and nothing else; return it, or nothing."""
    path.write_bytes(content)
    try:
        load_agent(path)
    except CheckpointError as error:
        return sentence_about(path, error)
    return ""


# FUZZ_EXAMPLES=10000 tries more; docs/reliability.md tells how many have been tried.
FUZZ = settings(max_examples=int(os.environ.get("FUZZ_EXAMPLES", "60")))


@FUZZ
@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(tmp_path, content):
    length = len(content).to_bytes(8, "little")
    refused_or_loaded(tmp_path / "fuzz.safetensors", content)
    refused_or_loaded(tmp_path / "fuzz.safetensors", length + content)


@FUZZ
@given(VALUES)
def test_no_header_does_more_than_be_refused(tmp_path, value):
    for header in (value, {"__metadata__": value}, {"__metadata__": {"format": value}}):
        refused_or_loaded(tmp_path / "fuzz.safetensors", file_of(header, b""))


@FUZZ
@given(CHANGES, KINDS)
@example({"value.bias": {"shape": [1] * 65}}, "mario_a3c/1")
@example({"x": EMPTY | {"shape": [0, 2**63]}}, "mario_a3c/1")
@example({"x": EMPTY | {"dtype": EVIL}}, "mario_a3c/1")
@example({EVIL: EMPTY | {"data_offsets": [1, 1]}}, "mario_a3c/1")
def test_no_description_of_tensors_does_more_than_be_refused(tmp_path, changes, kind):
    sentence = refused_or_loaded(tmp_path / "fuzz.safetensors", file_like_ours(changes, kind))
    assert "header of ours" not in sentence  # that is not where these are to stop
    assert "its digest" not in sentence


@FUZZ
@given(OURS, KINDS)
@example({"digest": "\ud800"}, "mario_a3c/2")
def test_no_metadata_does_more_than_be_refused(tmp_path, ours, kind):
    sentence = refused_or_loaded(tmp_path / "fuzz.safetensors", file_like_ours({}, kind, **ours))
    assert "header of ours" not in sentence


@FUZZ
@given(SPECS)
def test_no_described_network_does_more_than_be_refused(tmp_path, spec):
    content = to_bytes(weights_of(make_agent(TINY)), {"spec": TINY.to_dict() | spec})
    refused_or_loaded(tmp_path / "fuzz.safetensors", content)
