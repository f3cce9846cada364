"""Push and pull with the unmodified huggingface_hub client, against a server on loopback."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import same_weights, shaken, tiny_cnn, tiny_hvae
from hub_server import TOKEN, Hub, Repository, serving
from huggingface_hub import constants
from PIL import Image

import hvae_sr
from hvae_sr import cli
from hvae_sr.errors import HubError, ModelError
from hvae_sr.hub import info, push
from hvae_sr.storage.serialization import CONFIG, WEIGHTS

BUNDLED = hvae_sr.bundled()
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub that the client in this process talks to, with an empty cache and the right token."""
    with serving() as hub:
        for name, value in {
            "ENDPOINT": hub.url,  # read from HF_ENDPOINT when the client is imported
            "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the client's retries
        yield hub


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: exit code, stdout, what it says on stderr itself."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hvae-sr", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert isinstance(stop.value.code, int)
        said, errors = capsys.readouterr()
        own = [line for line in errors.splitlines() if line.startswith("hvae-sr:")]
        return stop.value.code, said, "\n".join(own)

    return call


def refused(*words: str, name: str = "me/it", **options: object) -> HubError:
    """Loading fails with one sentence that says these words, and keeps the hub's own error."""
    with pytest.raises(HubError) as caught:
        hvae_sr.load(name, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message and caught.value.__cause__ is not None
    return caught.value


def head(hub: Hub, name: str = "me/it") -> dict[str, bytes]:
    """The files on the main branch."""
    repository = hub.repositories[name]
    return repository.commits[repository.refs["main"]]


def changed(folder: Path) -> hvae_sr.SuperResolutionModel:
    """Other weights in a model folder."""
    model = shaken(hvae_sr.load(folder))
    model.save_pretrained(folder)
    return model


class TestRoundTrip:
    @pytest.mark.parametrize("name", BUNDLED)
    def test_every_bundled_model_by_name_tag_and_commit_and_offline(
        self, name: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
    ):
        address = push(name, "me/it", tag="v1")
        assert address == f"{hub.url}/me/it"
        there = {path.name: path.read_bytes() for path in BUNDLED[name].iterdir()}
        pushed = head(hub)
        assert {n: b for n, b in there.items() if n != "README.md"} == {
            n: b for n, b in pushed.items() if n != "README.md"
        }
        assert 'hvae_sr.load("me/it")' in pushed["README.md"].decode()
        original, commit = hvae_sr.load(name), hub.repositories["me/it"].refs["main"]
        for revision in (None, "v1", commit):
            loaded = hvae_sr.load("me/it", revision=revision)
            assert same_weights(loaded, original)
            assert (loaded.name, loaded.revision) == ("me/it", commit)
        before = len(hub.requests)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert same_weights(hvae_sr.load("me/it"), original)
        assert len(hub.requests) == before

    def test_a_second_push_is_found_and_the_first_is_kept(self, hub: Hub, saved: Path):
        push(saved, "me/it", tag="v1")
        first, old = hvae_sr.load(saved), hub.repositories["me/it"].refs["main"]
        assert same_weights(hvae_sr.load("me/it"), first)
        second = changed(saved)
        push(saved, "me/it", tag="v2")
        assert same_weights(hvae_sr.load("me/it"), second)
        assert same_weights(hvae_sr.load("me/it", revision="v2"), second)
        for revision in ("v1", old):
            assert same_weights(hvae_sr.load("me/it", revision=revision), first)

    def test_a_branch_leaves_main_alone(self, hub: Hub, saved: Path):
        push(saved, "me/it")
        first, second = hvae_sr.load(saved), changed(saved)
        push(saved, "me/it", revision="trial")
        assert same_weights(hvae_sr.load("me/it"), first)
        assert same_weights(hvae_sr.load("me/it", revision="trial"), second)

    def test_weights_are_of_the_commit_that_the_config_is_of(self, hub: Hub, saved: Path):
        push(saved, "me/it")
        hvae_sr.load("me/it")
        commit = hub.repositories["me/it"].refs["main"]
        asked = [line for line in hub.requests if line.endswith(WEIGHTS)]
        assert asked and all(f"/resolve/{commit}/" in line for line in asked)

    def test_a_private_repository_needs_the_token(
        self, hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch
    ):
        push(saved, "me/it", private=True)
        monkeypatch.delenv("HF_TOKEN")
        refused("no repository me/it", "token")
        assert same_weights(hvae_sr.load("me/it", token=TOKEN), hvae_sr.load(saved))

    def test_the_pushed_snippet_runs(
        self, hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        push(saved, "me/it")
        tiny_cnn().push_to_hub("me/fresh")
        Image.effect_noise((8, 6), 60).convert("RGB").save(tmp_path / "in.png")
        monkeypatch.chdir(tmp_path)
        for name in ("me/it", "me/fresh"):
            card = head(hub, name)["README.md"].decode()
            (snippet,) = re.findall(r"```python\n(.*?)```", card, re.S)
            assert f'hvae_sr.load("{name}")' in snippet
            names: dict = {}
            exec(snippet, names)
            assert names["image"].size == (32, 24)

    def test_the_environment_alone_is_enough(self, hub: Hub, saved: Path, tmp_path: Path):
        """The client as people run it: another process, told where the hub is by HF_ENDPOINT."""
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}

        def call(*arguments: object) -> str:
            command = [sys.executable, "-m", "hvae_sr.cli", *map(str, arguments)]
            environment = {**os.environ, **settings, "HF_HUB_DISABLE_XET": "1"}
            return subprocess.run(
                command, env=environment, capture_output=True, text=True, check=True
            ).stdout

        assert call("push", saved, "me/it", "--tag", "v1") == f"{hub.url}/me/it\n"
        known = json.loads(call("info", "me/it", "--revision", "v1", "--json"))
        assert known["revision"] == hub.repositories["me/it"].refs["v1"]
        assert known["size"] == (saved / WEIGHTS).stat().st_size


class TestMixin:
    def test_a_class_opens_a_bundled_model_by_name(self, hub: Hub):
        model = hvae_sr.HVAE.from_pretrained("photo-hvae-x4", strict=True)
        assert same_weights(model, hvae_sr.load("photo-hvae-x4"))
        with pytest.raises(ModelError, match="describes a GuidedCNN, not a HVAE"):
            hvae_sr.HVAE.from_pretrained("photo-cnn-x4")
        assert hub.requests == []

    @pytest.mark.parametrize("name", ["photo-hvea-x4", "weights/mine.pth", "a/b.safetensors"])
    def test_a_name_that_no_repository_has_is_not_asked_for(self, name: str, hub: Hub):
        for load in (hvae_sr.load, hvae_sr.HVAE.from_pretrained):
            with pytest.raises(ModelError, match=r"not a bundled model|names a file"):
                load(name)
        assert hub.requests == []

    def test_lenient_loading_is_refused(self, saved: Path):
        with pytest.raises(ModelError, match="strictly"):
            hvae_sr.HVAE.from_pretrained(saved, strict=False)

    def test_a_fresh_model_says_that_nobody_evaluated_it(self, hub: Hub):
        tiny_hvae().push_to_hub("me/it")
        card = head(hub)["README.md"].decode()
        assert "Not evaluated" in card and "model-index" not in card
        assert "# me/it" in card and "@software{hvae_sr" in card and "arXiv:2011.10650" in card

    def test_what_lies_beside_the_weights_goes_with_them(self, hub: Hub, saved: Path):
        (saved / "results.json").write_text('{"mine": 1}')
        (saved / "README.md").write_text("my own words")
        hvae_sr.load(saved).push_to_hub("me/it")
        assert head(hub)["results.json"] == b'{"mine": 1}'
        assert head(hub)["README.md"] == b"my own words"

    def test_scores_do_not_go_with_other_weights(self, hub: Hub):
        model = shaken(hvae_sr.load("study-cnn-cifar10-x4"), 0.01)
        model.push_to_hub("me/it")
        assert sorted(head(hub)) == ["README.md", CONFIG, WEIGHTS]
        assert "Not evaluated" in head(hub)["README.md"].decode()

    def test_failures_are_told_as_everywhere(self, hub: Hub):
        with pytest.raises(HubError, match="refuses the token"):
            tiny_cnn().push_to_hub("me/it", token="hf_wrong")
        assert hub.repositories == {}


class TestPush:
    def test_a_damaged_model_never_leaves(self, hub: Hub, saved: Path):
        content = (saved / WEIGHTS).read_bytes()
        (saved / WEIGHTS).write_bytes(content[:-8])
        with pytest.raises(ModelError, match="complete"):
            push(saved, "me/it")
        assert hub.requests == []

    def test_strangers_in_the_folder_stay_at_home(self, hub: Hub, saved: Path):
        for name in ("pytorch_model.bin", ".env", "notes.md"):
            (saved / name).write_text("mine")
        push(saved, "me/it")
        assert sorted(head(hub)) == ["README.md", CONFIG, WEIGHTS, "notes.md"]

    def test_a_tag_that_exists_is_refused_before_a_commit(self, hub: Hub, saved: Path):
        push(saved, "me/it", tag="v1")
        before = dict(hub.repositories["me/it"].refs)
        changed(saved)
        with pytest.raises(HubError, match="has a tag v1 already"):
            push(saved, "me/it", tag="v1")
        assert hub.repositories["me/it"].refs == before

    def test_a_hub_without_xet_is_told_with_the_way_round(
        self, hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch
    ):
        """The client's default path: it asks for Xet, and does not go back to HTTP by itself."""
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
        with pytest.raises(HubError, match=r"Xet \(.*404 Not Found.*HF_HUB_DISABLE_XET=1"):
            push(saved, "me/it")
        assert any("xet-write-token" in line for line in hub.requests)
        assert head(hub) == {}

    @pytest.mark.parametrize("name", ["me", "a/b/c", "../x", "me/..", ""])
    def test_names_that_are_no_repository(self, name: str, hub: Hub, saved: Path):
        with pytest.raises(ModelError, match="owner/name"):
            push(saved, name)
        assert hub.requests == []

    def test_the_command(self, hub: Hub, saved: Path, run: Run):
        options = ["--tag", "v1", "--message", "First words", "--private"]
        code, said, error = run("push", saved, "me/it", *options)
        assert (code, said, error) == (0, f"{hub.url}/me/it\n", "")
        assert hub.repositories["me/it"].private and "v1" in hub.repositories["me/it"].refs
        code, said, error = run("push", saved, "me/it", "--token", "hf_wrong")
        assert (code, said) == (2, "") and "refuses the token" in error
        assert run("push", saved.parent / "nothing", "me/it")[0] == 2


class TestFailures:
    def test_a_repository_that_is_not_there(self, hub: Hub):
        refused("no repository me/it", hub.url)

    def test_a_revision_that_is_not_there(self, hub: Hub, saved: Path):
        push(saved, "me/it")
        refused("no revision v9", revision="v9")
        refused("no revision", revision="f" * 40)

    def test_a_wrong_token(self, hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch):
        push(saved, "me/it")
        refused("refuses the token", token="hf_wrong")
        before = dict(hub.repositories["me/it"].refs)
        with pytest.raises(HubError, match="refuses the token"):
            push(saved, "me/it", token="hf_wrong")
        monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(HubError, match="token"):
            push(saved, "me/it")
        assert hub.repositories["me/it"].refs == before

    def test_a_repository_of_something_else(self, hub: Hub, saved: Path):
        hub.repositories["me/it"] = Repository()
        refused("not an hvae_sr model", CONFIG)
        config = (saved / CONFIG).read_bytes()
        hub.repositories["me/it"].commit("main", {CONFIG: config, "pytorch_model.bin": b"x"})
        refused("not an hvae_sr model", WEIGHTS)
        assert not [line for line in hub.requests if "pytorch_model" in line]

    def test_a_hostile_config_brings_no_weights(self, hub: Hub, saved: Path):
        push(saved, "me/it")
        config = json.loads((saved / CONFIG).read_text()) | {"latent": 10**9}
        files = {**head(hub), CONFIG: json.dumps(config).encode()}
        hub.repositories["me/it"].commit("main", files)
        hub.requests.clear()
        with pytest.raises(ModelError, match="'latent'"):
            hvae_sr.load("me/it")
        assert not [line for line in hub.requests if line.endswith(WEIGHTS)]

    def test_no_network(self, hub: Hub, saved: Path, monkeypatch: pytest.MonkeyPatch):
        push(saved, "me/it")
        known = hvae_sr.load("me/it")
        nowhere = "http://127.0.0.1:9"
        monkeypatch.setattr(constants, "ENDPOINT", nowhere)
        address = nowhere + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        refused("connection", "try again", name="me/other")
        with pytest.raises(HubError, match="connection"):
            push(saved, "me/it")
        assert same_weights(hvae_sr.load("me/it"), known)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        refused("not in the cache", "HF_HUB_OFFLINE", name="me/other")

    def test_the_command_says_one_sentence(self, hub: Hub, run: Run):
        code, said, error = run("info", "me/it")
        assert (code, said) == (2, "") and error.startswith(f"hvae-sr: {hub.url} has no repository")
        assert len(error.splitlines()) == 1


class TestLostConnections:
    def test_an_upload_that_is_cut_is_repeated_by_the_client(self, hub: Hub, saved: Path):
        hub.cut = 5_000
        push(saved, "me/it")
        assert same_weights(hvae_sr.load("me/it"), hvae_sr.load(saved))

    def test_an_upload_that_is_lost_leaves_the_repository_as_it_was(self, hub: Hub, saved: Path):
        push(saved, "me/it")
        before = head(hub)
        second = changed(saved)
        hub.cut, hub.recovers = 5_000, False
        with pytest.raises(HubError, match="connection"):
            push(saved, "me/it")
        assert head(hub) == before
        hub.dead = False
        push(saved, "me/it")
        assert same_weights(hvae_sr.load("me/it"), second)

    def test_a_download_that_is_cut_is_repeated_by_the_client(self, hub: Hub, saved: Path):
        push(saved, "me/it")
        hub.cut = 5_000
        assert same_weights(hvae_sr.load("me/it"), hvae_sr.load(saved))

    def test_a_download_that_is_lost_leaves_nothing_half_written(
        self, hub: Hub, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        push(saved, "me/it")
        hub.cut, hub.recovers = 5_000, False
        refused("connection", "try again")
        cached = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        assert not [path for path in cached if path.name == WEIGHTS or "incomplete" in path.name]
        refused("connection")
        hub.dead = False
        assert same_weights(hvae_sr.load("me/it"), hvae_sr.load(saved))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert same_weights(hvae_sr.load("me/it"), hvae_sr.load(saved))


class TestInfo:
    @pytest.mark.parametrize("name", BUNDLED)
    def test_bundled_models(self, name: str):
        known, model = info(name), hvae_sr.load(name)
        assert (known.name, known.scale) == (name, model.scale)
        assert known.parameters == sum(p.numel() for p in model.parameters())
        assert known.sha256.startswith(known.revision or "?")
        assert known.licence == "apache-2.0" and known.training["images"] > 0
        assert all(scores["psnr"] > 5 for scores in known.scores.values()) and known.scores

    def test_of_a_hub_are_those_of_the_folder(self, hub: Hub):
        name = next(iter(BUNDLED))
        push(name, "me/it")
        here, there = info(name), info("me/it")
        commit = hub.repositories["me/it"].refs["main"]
        assert there == dataclasses.replace(here, name="me/it", revision=commit)

    def test_the_command(self, saved: Path, run: Run):
        code, said, _ = run("info", saved)
        assert code == 0
        for words in (
            "HVAE",
            "x4, degradation gaussian",
            "SHA-256",
            "not evaluated",
            "not recorded",
        ):
            assert words in said
        assert json.loads(run("info", saved, "--json")[1])["model_class"] == "HVAE"

    def test_odd_files_beside_the_weights_are_named_or_passed_over(self, saved: Path):
        (saved / "training.json").write_text('{"images": "many", "minutes": [], "data": "mine"}')
        assert info(saved).training == {"data": "mine"}
        (saved / "README.md").write_text("no front matter")
        assert info(saved).scores == {} and info(saved).licence is None
        for name, text in {
            "README.md": "---\na: [\n---\n",
            "training.json": "[]",
        }.items():
            before = (saved / name).read_text()
            (saved / name).write_text(text)
            with pytest.raises(ModelError, match=name):
                info(saved)
            (saved / name).write_text(before)
        (saved / "README.md").write_text("x" * (2**20 + 1))
        with pytest.raises(ModelError, match="larger"):
            info(saved)

    @pytest.mark.parametrize(
        "front",
        [
            "a: " + "[" * 5_000,
            "a: 2001-99-99",
            "- a list",
            "? [1, 2]\n: 3",
            "a: !!python/object/apply:os.system [ls]",
            "model-index: [{name: x, results: [{task: 3}]}]",
            "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: n}, "
            "metrics: 3}]}]",
        ],
    )
    def test_hostile_front_matter_is_refused_in_a_sentence(self, front: str, saved: Path):
        (saved / "README.md").write_text(f"---\n{front}\n---\nmine")
        model = hvae_sr.load(saved)
        for read in (lambda: info(saved), model.generate_model_card):
            with pytest.raises(ModelError, match="no valid front matter") as caught:
                read()
            assert "\n" not in str(caught.value)

    def test_the_list_names_what_nobody_scored(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
    ):
        tiny_cnn().save_pretrained(tmp_path / "fresh")
        monkeypatch.setattr("hvae_sr.storage.shelf._SHELVES", (tmp_path,))
        code, said, _ = run("list")
        assert code == 0 and "Not evaluated yet: fresh" in said


def test_a_loaded_model_knows_its_folder_and_a_changed_one_says_so(saved: Path):
    (saved / "README.md").write_text("---\nlicense: mit\n---\nmine")
    model = hvae_sr.load(saved)
    assert str(model.generate_model_card()).endswith("mine")
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert "Not evaluated" in str(model.generate_model_card())
