"""What is shared is clean: the rules, each kind of file, the proof, and a moved study's copy searched byte for byte."""

from __future__ import annotations

import gzip
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.compare.compare import compare
from gpuprobe.compare.gather import gather
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.errors import InputError, OutputError
from gpuprobe.ranking.load import load as load_study_whole
from gpuprobe.recording import KERAS_SEEN, TRAININGS_FOLDER
from gpuprobe.records import GpuInfo, Outcome, Run, Study, load, save
from gpuprobe.report.watch import load_report
from gpuprobe.sharing import find, proof, publish, rules, secrets
from gpuprobe.sharing.facts import Facts, Gathering
from gpuprobe.sharing.kinds import KINDS, kind_of, short_system
from gpuprobe.sharing.machine import this_machine
from gpuprobe.sharing.prefilter import Prefilter, prefilter_of
from gpuprobe.sharing.rules import Rules, placeholder_by_key_of, rules_of
from gpuprobe.sharing.words import identifies
from gpuprobe.simulate.sessions import write_session
from gpuprobe.simulate.spec import Recording, Spec
from gpuprobe.traces.read import read
from gpuprobe.traces.xplane_pb2 import XSpace
from tests.helpers.program import ROOT, Cli
from tests.helpers.watches import record

FACTS = Facts(
    studies=frozenset({"/mnt/zeldas/reports/20260101-resnet20"}),
    homes=frozenset({"/home/zelda", "/root"}),
    folders=frozenset({"/srv/vault/project"}),
    temporary=frozenset({"/tmp"}),
    pythons=frozenset({"/home/zelda/.venv", "/usr/local"}),
    hosts=frozenset({"labbox17", "labbox17.example.org", "vm"}),
    users=frozenset({"zelda", "root"}),
    addresses=frozenset({"10.1.2.3", "aa:bb:cc:dd:ee:ff"}),
    secrets=frozenset({"hunter2hunter2", "model"}),
    cards=(
        frozenset({"gpu-12345678-1234-1234-1234-123456789abc", "0000:01:00.0", "00000000:01:00.0"}),
        frozenset({"gpu-87654321-1234-1234-1234-123456789abc", "0042"}),
    ),
)
RULES = rules_of(FACTS)


def looking(rules: Rules) -> Prefilter:
    return prefilter_of(rules.needles, secrets.HINTS)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot open /home/zelda/data/x.npz", "cannot open ~/data/x.npz"),
        ("/mnt/zeldas/reports/20260101-resnet20/runs/1-xla", "<study>/runs/1-xla"),
        ("/srv/vault/project/train.py", "<folder>/train.py"),
        ("/home/zelda/.venv/lib/python3.11/x.py", "<python>/lib/python3.11/x.py"),
        ("/usr/local/lib/python3.11/x.py", "<python>/lib/python3.11/x.py"),
        ("/usr/local/cuda/lib64", "/usr/local/cuda/lib64"),
        ("file:///home/zelda/x and /tmp/y", "file://~/x and <tmp>/y"),
        ("model/zeldas/dense, /homes, a/tmp/b, tmpfs", "model/zeldas/dense, /homes, a/tmp/b, tmpfs"),
        ("zelda@labbox17:~", "<user 2>@<host 1>:~"),
        ("Zelda_old on LABBOX17.example.org", "<user 2>_old on <host 1>"),
        ("zeldas grizelda", "zeldas grizelda"),
        ("root cause; a vm; root@vm; USER=root", "root cause; a vm; <user 1>@<host 2>; USER=<user 1>"),
        ("grpc://vm:8470", "grpc://<host 2>:8470"),
        ("GPU-12345678-1234-1234-1234-123456789ABC at 0000:01:00.0", "<card 1> at <card 1>"),
        ("step 0042, 0.0042", "step 0042, 0.0042"),
        ("from 10.1.2.3, 110.1.2.3, 10.1.2.34", "from <address 1>, 110.1.2.3, 10.1.2.34"),
        ("file%3A%2F%2F%2Fhome%2Fzelda%2Fx", "file%3A%2F%2F~%2Fx"),
        (r"{\"path\": \"\/home\/zelda\/x\"}", r"{\"path\": \"~\/x\"}"),
        ("refused hunter2hunter2", "refused <secret>"),
        ("the model", "the model"),
    ],
)
def test_a_fact_is_replaced_and_words_are_left(text: str, clean: str) -> None:
    assert RULES.clean(text) == clean
    assert RULES.clean(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "train.py --api-key=*",
        "train.py --api-key '*' --epochs 3",
        'train.py --hf_token "*"',
        "WANDB_API_KEY=* python train.py",
        "MY_PASS=* python train.py",
        "password: *",
        "{'password': '*'}",
        '{\\"token\\": \\"*\\"}',
        "https://zelda:*@example.org/x",
        "https://example.org/x?sig=*&y=1",
        "Authorization: Bearer *",
        "curl -u zelda:* https://example.org",
        "client_secret=*",
    ],
)
def test_a_secret_is_found_by_what_stands_before_it(text: str) -> None:
    told = text.replace("*", "s3cr3tValue+/9xyz")
    clean = secrets.without_secrets(told)
    assert "s3cr3t" not in clean
    assert secrets.PLACEHOLDER in clean
    assert secrets.without_secrets(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "hf_abcdefghijklmnopqrstuvwx",
        "ghp_abcdefghijklmnopqrstuvwxyz0123",
        "AKIAABCDEFGHIJKLMNOP",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ],
)
def test_a_secret_is_found_by_its_own_shape(text: str) -> None:
    assert secrets.without_secrets(f"key {text}, next") == "key <secret>, next"


@pytest.mark.parametrize(
    "text",
    [
        "--max-tokens 100 --tokenizer bert",
        "the token of the loop",
        "a password is needed",
        "python_feed, xla: 3.2x",
        "https://example.org/a@b",
        "--token-file x",
        "risk-free sk-learn",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert secrets.without_secrets(text) == text


def test_a_name_that_is_a_word_of_ours_tells_nobody() -> None:
    assert [name for name in ("root", "vm", "user", "will", "max", "gpu", "42", "jo") if identifies(name)] == []
    assert identifies("zelda")
    assert identifies("labbox17")


def test_what_others_wrote_is_found_by_its_shape() -> None:
    into = Gathering(hosts={"labbox17"})
    find.find_facts("/nfs/home/link/x by ganon@labbox17, GPU-12345678-1234-1234-1234-123456789abc, 192.168.0.7", into)
    find.find_facts(r"C:\Users\Impa\x, /opt/tools/env/lib/python3.11/site.py, 9.1.0.70, tensorflow==10.1.2.3", into)
    facts = into.done()
    assert facts.homes == {"/nfs/home/link", r"C:\Users\Impa"}
    assert facts.users == {"link", "ganon", "Impa"}
    assert facts.pythons == {"/opt/tools/env"}
    assert facts.addresses == {"192.168.0.7"}
    assert len(facts.cards) == 1


def test_the_former_folder_of_a_study_is_found() -> None:
    into = Gathering()
    find.find_former_folders(
        "logs in /old/place one/20260101-resnet20/runs/1-xla/trace", ["/runs/1-xla", "/20260101-resnet20"], into
    )
    find.find_former_folders("/old place/lab/study/runs/1-xla/trace", ["/runs/1-xla"], into)
    find.find_former_folders("/old/lab/study/runs/1-xla-2", ["/runs/1-xla"], into)
    assert into.studies == {"/old place/lab/study"}
    into = Gathering()
    find.find_former_folders("in /old/lab/reports/20260101-resnet20, done", ["/20260101-resnet20"], into)
    assert into.done().folders == {"/old/lab/reports", "/old/lab"}


@pytest.mark.parametrize(
    ("system", "short"),
    [("Linux 5.15.0-zelda x86_64", "Linux x86_64"), ("Linux secret", "Linux"), ("simulated", "simulated"), ("", "")],
)
def test_a_system_is_told_without_its_release(system: str, short: str) -> None:
    assert short_system(system) == short


def test_a_file_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be shared"):
        kind_of(Path("workload.pkl"))


PRIVATE = st.sampled_from(
    [
        "/home/zelda/a b.txt",
        "/srv/vault/project",
        "zelda",
        "labbox17",
        "hunter2hunter2",
        "GPU-12345678-1234-1234-1234-123456789abc",
        "aa:bb:cc:dd:ee:ff",
        "/mnt/zeldas/reports/20260101-resnet20/runs",
        "--password=Geheim1234",
    ]
)
TELLING = re.compile(rb"zelda|vault|labbox17|hunter2|123456789abc|aa:bb:cc|geheim", re.IGNORECASE)
HARMLESS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/:=@~-%&\\"), max_size=12
).filter(lambda text: RULES.clean(text) == text)


@st.composite
def strings(draw: st.DrawFn) -> str:
    private = draw(st.one_of(st.just(""), PRIVATE))
    return f"{draw(HARMLESS)} {private} {draw(HARMLESS)}"


def cleaned(value: object) -> object:
    """Return a value of JSON with its strings replaced one by one: the slow and obvious way."""
    if isinstance(value, dict):
        return {RULES.clean(key): cleaned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [cleaned(one) for one in value]
    return RULES.clean(value) if isinstance(value, str) else value


@given(
    value=st.recursive(
        st.one_of(strings(), st.integers(), st.floats(allow_nan=False), st.none(), st.booleans()),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(strings(), inner, max_size=4)),
        max_leaves=12,
    ),
    escaped=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
@settings(deadline=None)
def test_json_is_clean_and_else_the_same(value: object, escaped: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent).replace("/", "\\/" if escaped else "/")
    for suffix, pack, unpack in ((".json", bytes, bytes), (".gz", gzip.compress, gzip.decompress)):
        clean = unpack(KINDS[suffix].clean(pack(text.encode()), looking(RULES), RULES))
        assert json.loads(clean) == cleaned(value)
        assert not TELLING.search(json.dumps(json.loads(clean), ensure_ascii=False).encode())


@given(words=st.lists(strings(), min_size=1, max_size=5), numbers=st.lists(st.floats(allow_nan=False), max_size=5))
@settings(deadline=None)
def test_a_recording_is_clean_and_else_the_same(words: list[str], numbers: list[float]) -> None:
    said = [re.sub(r'["\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]', " ", word) for word in words]
    rows = [f'1700000000000000000,"gpu0: {word}",{",".join(map(str, numbers))}' for word in said]
    facts = "# gpu0 " + json.dumps({"name": "Tesla T4", "uuid": said[0], "serial": "0042", "said": said[0]})
    clean = KINDS[".csv"].clean("\n".join([facts, *rows, ""]).encode(), looking(RULES), RULES)
    first, *rest = clean.decode().split("\n")
    told = json.loads(first.removeprefix("# gpu0 "))
    assert told == {"name": "Tesla T4", "uuid": told["uuid"], "serial": "<card 2>", "said": RULES.clean(said[0])}
    assert told["uuid"] in {"<card>", "<card 1>"}
    assert rest == [RULES.clean(row) for row in rows] + [""]
    assert not TELLING.search(clean)


@st.composite
def spaces(draw: st.DrawFn) -> XSpace:
    """Draw an XPlane file with texts at every depth, protobuf within bytes too."""
    space = XSpace(hostnames=["labbox17"], warnings=draw(st.lists(strings(), max_size=2)))
    for _ in range(draw(st.integers(0, 3))):
        plane = space.planes.add(id=draw(st.integers(0, 2**40)), name=draw(strings()))
        for number in range(draw(st.integers(0, 3))):
            plane.event_metadata[number].name = draw(strings())
            plane.event_metadata[number].stats.add(metadata_id=1, str_value=draw(strings()))
            plane.stat_metadata[number].name = draw(strings())
        line = plane.lines.add(id=draw(st.integers(-(2**40), 2**40)), name=draw(strings()))
        for _ in range(draw(st.integers(0, 3))):
            event = line.events.add(offset_ps=draw(st.integers(0, 2**62)), duration_ps=draw(st.integers(0, 2**62)))
            event.stats.add(metadata_id=2, str_value=draw(strings()))
            event.stats.add(metadata_id=3, uint64_value=draw(st.integers(0, 2**64 - 1)))
            inner = XSpace(warnings=[draw(strings())], hostnames=[draw(strings())])
            event.stats.add(metadata_id=4, bytes_value=inner.SerializeToString())
    return space


def expected(space: XSpace) -> XSpace:
    """Return a file with its texts replaced one by one."""
    clean = RULES.clean
    new = XSpace()
    new.CopyFrom(space)
    new.hostnames[:] = ["<host 1>"]
    new.warnings[:] = map(clean, space.warnings)
    for plane in new.planes:
        plane.name = clean(plane.name)
        for event in plane.event_metadata.values():
            event.name = clean(event.name)
            event.stats[0].str_value = clean(event.stats[0].str_value)
        for stat in plane.stat_metadata.values():
            stat.name = clean(stat.name)
        for line in plane.lines:
            line.name = clean(line.name)
            for one in line.events:
                one.stats[0].str_value = clean(one.stats[0].str_value)
                inner = XSpace.FromString(one.stats[2].bytes_value)
                inner.warnings[:], inner.hostnames[:] = map(clean, inner.warnings), map(clean, inner.hostnames)
                one.stats[2].bytes_value = inner.SerializeToString()
    return new


@given(space=spaces())
@settings(deadline=None)
def test_a_trace_is_clean_at_every_depth_and_else_the_same(space: XSpace) -> None:
    clean = KINDS[".pb"].clean(space.SerializeToString(), looking(RULES), RULES)
    assert XSpace.FromString(clean) == expected(space)
    assert not TELLING.search(clean)


def test_bytes_of_an_unknown_format_keep_their_length() -> None:
    space = XSpace()
    data = b"\xff\xfe\x00/home/zelda/x\x00\xff--token=abcdefgh\xff"
    space.planes.add(name="a").stats.add(metadata_id=1, bytes_value=data)
    clean = KINDS[".pb"].clean(space.SerializeToString(), looking(RULES), RULES)
    value = XSpace.FromString(clean).planes[0].stats[0].bytes_value
    assert value == b"\xff\xfe\x00___________/x\x00\xff--token=_________"


def test_a_trace_of_a_recorded_gpu_decodes_alike(real_traces: Path, tmp_path: Path) -> None:
    source = real_traces / "tensorflow" / "v100-01.xplane.pb"
    into = Gathering()
    for text, _ in KINDS[".pb"].texts(source.read_bytes(), prefilter_of([], find.HINTS)):
        find.find_facts(text, into)
    known = rules_of(into.done())
    clean = tmp_path / source.name
    clean.write_bytes(KINDS[".pb"].clean(source.read_bytes(), looking(known), known))
    before, after = read(source), read(clean)
    assert len(before.names) == len(after.names)
    for one, other in zip(before.devices, after.devices, strict=True):
        assert (one.kernels.start_ps == other.kernels.start_ps).all()
        assert (one.kernels.name == other.kernels.name).all()
    assert len(before.threads) == len(after.threads)


MOVED = Path("moved", "to", "here")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one simulated session, to be left as it is."""
    folder = tmp_path_factory.mktemp("session") / "study"
    write_session(Spec(recording=Recording(window_s=2.0)), folder)
    return folder


@pytest.fixture(scope="module")
def private(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like that of a user's machine, with a private study in it that was moved; to be left as it is."""
    root = tmp_path_factory.mktemp("private")
    make_private_study(root, session)
    return root


@pytest.fixture
def private_study(private: Path, tmp_path: Path) -> Path:
    """A private study of one's own: alone in `tmp_path`, with the home that it came from."""
    shutil.copytree(private, tmp_path, dirs_exist_ok=True)
    return tmp_path / MOVED


def make_private_study(root: Path, session: Path) -> None:
    """Write a study with something private in every file and field, and move it."""
    old = root / "home" / "zelda" / "vault" / "reports" / "20260101-120000-resnet20"
    old.parent.mkdir(parents=True)
    shutil.copytree(session, old)
    said = f"{old}/x failed for zelda@labbox17 with --api-key=hunter2hunter2"
    study = load(Study, old / "study.json")
    environment = msgspec.structs.replace(
        study.environment,
        system="Linux 5.15.0-labbox17 x86_64",
        no_gpu=f"no driver: {said}",
        gpus=(
            GpuInfo(
                index=0,
                name="NVIDIA GeForce RTX 2080 Ti",
                uuid="GPU-12345678-1234-1234-1234-123456789abc",
                pci_bus_id="00000000:0A:00.0",
                compute_capability="7.5",
                memory_mib=11264.0,
                facts={"serial": "0321918000042", "mig0_uuid": "MIG-12345678-1234-1234-1234-123456789abc"},
            ),
        ),
    )
    command = f"gpuprobe run --model {old.parent.parent}/train.py:workload --token 'hunter2hunter2' --out /mnt/vault/x"
    study = msgspec.structs.replace(
        study,
        name=old.name,
        command=command,
        data_source=f"https://zelda:hunter2hunter2@labbox17.example.org: {said}.",
        notes=(said, "10.1.2.3 answered, aa:bb:cc:dd:ee:ff too", "GPU 0000:0a:00.0 fell off"),
        environment=environment,
        request=msgspec.structs.replace(
            study.request, data=f"{old.parent.parent}/data.npz", model=f"{old.parent.parent}/train.py:workload"
        ),
    )
    save(study, old / "study.json")
    (file,) = old.glob("runs/*/run.json")
    run = load(Run, file)
    assert run.settings is not None
    spec = msgspec.structs.replace(run.spec, model=f"{old.parent.parent}/train.py:workload")
    where = msgspec.structs.replace(run.settings, gpu_pci_bus_id="0000:0A:00.0")
    save(msgspec.structs.replace(run, notes=(said,), spec=spec, settings=where), file)
    failed = msgspec.structs.replace(run, spec=msgspec.structs.replace(spec, round=2))
    other = old / "runs" / "2-simulated"
    other.mkdir()
    save(msgspec.structs.replace(failed, outcome=Outcome(state="failed", message=said), trace=None), other / "run.json")
    (other / "log.txt").write_text(said)
    (old / "workload.pkl").write_bytes(said.encode())
    table = file.parent / "telemetry.csv"
    facts = {
        "uuid": "GPU-12345678-1234-1234-1234-123456789abc",
        "pci_bus_id": "00000000:0A:00.0",
        "serial": "0321918000042",
    }
    head, _, body = table.read_text().partition("\n")
    rows = f'1700000000000000000,"gpu0: other_process: process 7 (hunter2) holds it; host: assumed: {said}"'
    table.write_text(
        f"{head}\n# gpu0 {json.dumps(facts)}\n# host {json.dumps({'home': '/home/zelda/ü'})}\n{body}{rows}\n"
    )
    (trace,) = old.rglob("*.xplane.pb")
    space = XSpace.FromString(trace.read_bytes())
    space.hostnames[:] = ["labbox17"]
    space.warnings.append(said)
    plane = space.planes.add(name="/host:metadata")
    plane.stats.add(metadata_id=1, str_value=f"{file.parent}/trace")
    plane.stats.add(metadata_id=2, bytes_value=XSpace(warnings=[said, "x" * 200]).SerializeToString())
    line = plane.lines.add(name="zelda's thread")
    line.events.add(metadata_id=1).stats.add(metadata_id=1, str_value=f"A{said}")
    trace.write_bytes(space.SerializeToString())
    trace.rename(trace.with_name("labbox17.xplane.pb"))
    (root / MOVED).parent.mkdir(parents=True)
    old.rename(root / MOVED)


WORDS = (
    "zelda",
    "vault",
    "labbox17",
    "hunter2",
    "123456789abc",
    "0a:00.0",
    "0321918000042",
    "10.1.2.3",
    "aa:bb:cc",
    "5.15.0",
)


def leaks(folder: Path, words: tuple[str, ...]) -> list[str]:
    """Search every byte of a folder, as it is, unzipped, and with the escapes of JSON, HTML and URLs undone."""
    found = []
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        text = data.decode("latin-1")
        escaped = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text).replace("\\/", "/")
        forms = (str(path.relative_to(folder)), text, escaped, html.unescape(text), unquote(escaped))
        found += [f"{path}: {word}" for word in words for form in forms if word.lower() in form.lower()]
    return found


@pytest.mark.parametrize("traces", ["--traces", "--no-traces"])
def test_a_moved_study_is_shared_without_a_trace_of_its_owner(
    traces: str, cli: Cli, private: Path, private_study: Path, tmp_path: Path
) -> None:
    words = (*WORDS, str(private), str(tmp_path), str(Path.cwd()), sys.prefix)
    assert len({leak.rpartition(": ")[2] for leak in leaks(private_study, words)}) >= len(WORDS)
    home = {"HOME": str(private / "home" / "zelda")}
    done = cli("report", private_study, "--share", tmp_path / "public", traces, env=home)
    assert done.returncode == 0, done.stderr
    assert leaks(tmp_path / "public", words) == []
    made = {path.name for path in (tmp_path / "public").rglob("*") if path.is_file()}
    assert not made & {"log.txt", "workload.pkl", "spec.json", "events.jsonl"}
    assert ("host.xplane.pb" in made) == (traces == "--traces")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "moved", "public"]


def test_the_copy_gives_the_same_numbers(cli: Cli, private_study: Path, tmp_path: Path) -> None:
    study, copy = private_study, tmp_path / "public"
    publish.publish(study, copy)
    before, after = load_study_whole(study).ranking, load_study_whole(copy).ranking
    assert numbers(after) == numbers(before)
    (run,) = copy.glob("runs/1-*")
    one, other = recorded(study / "runs" / run.name), recorded(run)
    assert numbers(other.breakdown) == numbers(one.breakdown)
    assert numbers(other.readings) == numbers(one.readings)
    gathered, of_copy = gather(study), gather(copy)
    assert numbers(compare(of_copy, of_copy)) == numbers(compare(gathered, gathered))
    assert cli("diagnose", run).returncode == 0
    assert cli("report", copy).returncode == 0
    shared = load(Study, copy / "study.json")
    (card,) = shared.environment.gpus
    (settings_of,) = (told.settings for told in load_study_whole(copy).runs.values() if told.outcome.state == "done")
    assert settings_of is not None
    assert card.uuid == card.pci_bus_id == settings_of.gpu_pci_bus_id == "<card 1>"
    assert shared.environment.system == "Linux x86_64"
    assert shared.request.model == "train.py:workload"


def numbers(record: object) -> list[object]:
    """Return all numbers of a record, in order."""
    found: list[object] = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for one in value.values():
                walk(one)
        elif isinstance(value, list | tuple):
            for one in value:
                walk(one)
        elif not isinstance(value, str):
            found.append(value)

    walk(msgspec.to_builtins(record))
    return found


@pytest.mark.parametrize(
    "left_out", ["secret_rules", "card_rules", "path_rules", "name_rules", "address_rules", "secret", "keyed"]
)
def test_a_rule_that_is_missing_is_found_out(
    left_out: str, private_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = private_study

    def fewer(facts: Facts) -> Rules:
        kinds = [kind for kind in rules.RULE_KINDS if kind.__name__ != left_out]
        under = placeholder_by_key_of(facts) if left_out != "keyed" else lambda _key, _value: None
        return Rules([rule for kind in kinds for rule in kind(facts)], under, secret=left_out != "secret")

    monkeypatch.setattr(rules, "rules_of", fewer)
    # What was copied is enough to find it in; a report tells no more.
    monkeypatch.setattr(publish, "write", lambda _copy: None)
    if left_out == "secret_rules":
        # Only where nothing else tells that it is a secret.
        (file,) = study.glob("runs/1-*/run.json")
        save(msgspec.structs.replace(load(Run, file), notes=("hunter2hunter2",)), file)
    if left_out == "keyed":
        # Only what would be part of any number.
        (table,) = study.glob("runs/1-*/telemetry.csv")
        table.write_text(table.read_text().replace("0321918000042", "0042"))
    if left_out == "secret":
        # Only what is too short to be looked for anywhere.
        told = load(Study, study / "study.json")
        save(msgspec.structs.replace(told, notes=("--token abc",)), study / "study.json")
    with pytest.raises(OutputError, match=r"not written: .* still holds") as raised:
        publish.publish(study, tmp_path / "public")
    assert raised.value.exit_code == 4
    assert len(str(raised.value).splitlines()) == 1
    assert "hunter2" not in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "moved"]


def test_a_copy_that_is_not_clean_ends_with_one_line_and_is_gone(private_study: Path, tmp_path: Path) -> None:
    program = """
import sys
from gpuprobe.sharing import rules
rules.RULE_KINDS = ()
from gpuprobe.cli._app import main
main()
"""
    command = [sys.executable, "-c", program, "report", str(private_study), "--share", str(tmp_path / "public")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert re.fullmatch(r"gpuprobe: \S+/public: not written: \S+ still holds the .*\n", done.stderr)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "moved"]


@pytest.mark.parametrize(
    "text",
    ["/home/zelda", "%2Fhome%2fzelda", "&#47;home&#x2f;zelda", r"\/home\u002fzelda", r"%5Cu002fhome/zelda", "zelda"],
)
def test_the_proof_decodes_what_it_reads(text: str, tmp_path: Path) -> None:
    quoted = json.dumps(text) if "\\" not in text else f'"{text}"'
    space = XSpace(warnings=[text])
    contents = {
        "a.json": quoted.encode(),
        "a.json.gz": gzip.compress(quoted.encode()),
        "a.csv": f'1,"{text}"\n'.encode(),
        "a.html": f"<p>{text}</p>".encode(),
        "a.svg": f"<text>{text}</text>".encode(),
        "a.md": text.encode(),
        "a.xplane.pb": space.SerializeToString(),
    }
    for name, content in contents.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(content)
        assert proof.leftover(folder, FACTS).startswith(f"{name} still holds the "), name


def test_an_interrupted_share_leaves_nothing(session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_folder: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publish, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        publish.publish(session, tmp_path / "public")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_share_left_goes_at_the_next_start(session: Path, tmp_path: Path) -> None:
    shutil.copytree(session, tmp_path / "study")
    program = """
import os, signal, sys
from pathlib import Path
from gpuprobe.sharing import publish
publish.write = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
publish.publish(Path(sys.argv[1]), Path(sys.argv[2]))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "study"), str(tmp_path / "public")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    publish.publish(tmp_path / "study", tmp_path / "public")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["public", "study"]


@pytest.fixture
def private_watch(private_study: Path, tmp_path: Path) -> Path:
    """A watch with a private training in it, and with something private in its own files."""
    folder = tmp_path / "home" / "zelda" / "rec"
    folder.mkdir()
    made = record(folder, [20.0] * 10)
    said = f"{folder}/{TRAININGS_FOLDER}/x failed for zelda@labbox17 with --api-key=hunter2hunter2"
    command = ("python", f"{tmp_path}/home/zelda/vault/train.py", "--token", "hunter2hunter2", "--to", "10.1.2.3")
    outcome = Outcome(state="failed", exit_code=1, message=said)
    environment = load(Study, private_study / "study.json").environment
    save(
        msgspec.structs.replace(made, command=command, outcome=outcome, notes=(said,), environment=environment),
        folder / "watch.json",
    )
    trainings = folder / TRAININGS_FOLDER
    trainings.mkdir()
    (trainings / KERAS_SEEN).write_text("tensorflow")
    private_study.rename(trainings / "20260101-120000-fit")
    return folder


@pytest.mark.parametrize("traces", ["--traces", "--no-traces"])
def test_a_watch_is_shared_without_a_trace_of_its_owner(
    traces: str, private_watch: Path, cli: Cli, tmp_path: Path
) -> None:
    watch, public = private_watch, tmp_path / "public"
    words = (*WORDS, str(tmp_path), str(Path.cwd()), sys.prefix)
    done = cli("report", watch, "--share", public, traces, env={"HOME": str(tmp_path / "home" / "zelda")})
    assert done.returncode == 0, done.stderr
    assert leaks(public, words) == []
    assert bool(list(public.rglob("*.xplane.pb"))) == (traces == "--traces")
    told = {folder: load_report(folder) for folder in (watch, public)}
    causes = [[one.diagnosis.findings[0].cause for one in each.trainings if one.diagnosis] for each in told.values()]
    assert causes[0] == causes[1] != []
    assert told[watch].verdict.verdict == told[public].verdict.verdict


def test_each_host_of_a_session_keeps_its_trace(session: Path, tmp_path: Path) -> None:
    shutil.copytree(session, tmp_path / "study")
    (trace,) = (tmp_path / "study").rglob("*.xplane.pb")
    space = XSpace.FromString(trace.read_bytes())
    for host in ("labbox17", "labbox18"):
        space.hostnames[:] = [host]
        trace.with_name(f"{host}.xplane.pb").write_bytes(space.SerializeToString())
    trace.unlink()
    publish.publish(tmp_path / "study", tmp_path / "public")
    shared = sorted((tmp_path / "public").rglob("*.xplane.pb"))
    assert [path.name for path in shared] == ["host-1.xplane.pb", "host-2.xplane.pb"]
    named = [XSpace.FromString(path.read_bytes()).hostnames[0] for path in shared]
    assert len(set(named)) == 2
    assert all(re.fullmatch(r"<host \d>", name) for name in named)


NOBODY = """
import os, pwd, sys
def nobody(*_):
    raise KeyError("uid not found")
pwd.getpwuid = pwd.getpwnam = nobody
for name in ("HOME", "USER", "LOGNAME", "USERNAME", "LNAME"):
    os.environ.pop(name, None)
sys.argv = ["gpuprobe", *sys.argv[1:]]
from gpuprobe.cli._app import main
main()
"""


@pytest.mark.parametrize("words", [("report", "STUDY", "--share", "COPY"), ("report", "STUDY"), ("diagnose", "STUDY")])
def test_a_user_without_a_name_or_a_home_is_served(words: tuple[str, ...], session: Path, tmp_path: Path) -> None:
    shutil.copytree(session, tmp_path / "study")
    places = {"STUDY": str(tmp_path / "study"), "COPY": str(tmp_path / "copy")}
    command = [sys.executable, "-c", NOBODY, *(places.get(word, word) for word in words)]
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy").exists() == ("--share" in words)


def test_a_machine_is_asked_even_where_its_current_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    gone.rmdir()
    into = Gathering()
    this_machine(into)
    assert "/tmp" in into.temporary
    assert "0123456789abcdef" in into.secrets
