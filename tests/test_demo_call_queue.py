"""Nobody blocks the demo for others: places in the queue, listeners, time and memory."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import httpx
import psutil
import pytest
import torch
from conftest import Nearest, free_port
from PIL import Image
from test_demo import REST
from torch import Tensor

from benchmarks.demo_checks import visitors
from hvae_sr import demo
from hvae_sr.demo import call_queue, jobs, page, values
from hvae_sr.demo.page import Page
from hvae_sr.models.base import SuperResolutionModel


class Slow(Nearest):
    """Takes as long as it is told for each layer, of which it has many."""

    LAYERS = 400

    def __init__(self) -> None:
        super().__init__()
        self.pause = 0.0
        self.layer = torch.nn.Identity()
        self.passed = 0

    def forward(self, lr: Tensor) -> Tensor:
        for _ in range(self.LAYERS if self.pause else 1):
            self.layer(lr)
            self.passed += 1
            time.sleep(self.pause)
        return super().forward(lr)


@pytest.fixture(scope="module")
def models() -> dict[str, SuperResolutionModel]:
    return {"slow": Slow(), "quick": Nearest()}


@pytest.fixture(scope="module")
def blocks(models: dict[str, SuperResolutionModel]) -> Iterator[Page]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "bundled_models", lambda: models)
        served = demo.launch(port=free_port(), block=False)
    assert isinstance(served, Page)
    yield served
    served.close()


@pytest.fixture
def slow(models: dict[str, SuperResolutionModel]) -> Iterator[Slow]:
    model = models["slow"]
    assert isinstance(model, Slow)
    model.pause = 0.05
    yield model
    model.pause = 0.0


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not listen has left at once."""
    monkeypatch.setattr(call_queue, "SILENCE", 0.5)
    monkeypatch.setattr(call_queue, "PAUSE", 0.05)


def until(true: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def arguments(path: str, model: str) -> dict[str, Any]:
    return {"data": [visitors.named(path), model, *REST]}


@pytest.fixture
def ask(blocks: Page, tmp_path: Any) -> Callable[[visitors.Visitor, str], httpx.Response]:
    """Put an image to a model, without listening to the answer."""
    visitors.image(1).save(tmp_path / "in.png")

    def call(visitor: visitors.Visitor, model: str) -> httpx.Response:
        path = visitor.upload(tmp_path / "in.png")
        return visitor.http.post("/gradio_api/call/upscale", json=arguments(path, model))

    return call


@pytest.fixture
def visitor(blocks: Page) -> Callable[[int], visitors.Visitor]:
    return lambda number: visitors.Visitor(str(blocks.local_url).rstrip("/"), number)


def test_a_client_has_few_open_calls_and_leaves_room_for_others(
    slow: Slow,
    ask: Any,
    visitor: Callable[[int], visitors.Visitor],
    blocks: Page,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    greedy, other = visitor(1), visitor(2)
    answers = [ask(greedy, "slow") for _ in range(call_queue.MOST_OPEN + 2)]
    codes = [each.status_code for each in answers]
    assert codes == [200] * call_queue.MOST_OPEN + [429] * 2
    assert "4 calls open here" in answers[-1].json()["detail"]
    assert ask(other, "quick").status_code == 200
    monkeypatch.setattr(call_queue, "SILENCE", 0)
    until(lambda: not blocks._queue.event_ids_to_events)
    monkeypatch.undo()
    assert ask(greedy, "quick").status_code == 200  # places come back
    until(lambda: not blocks._queue.event_ids_to_events)


def test_a_claimed_address_is_no_other_client(
    slow: Slow,
    ask: Any,
    visitor: Callable[[int], visitors.Visitor],
    blocks: Page,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    liar = visitor(3)
    codes = []
    for number in range(call_queue.MOST_OPEN + 1):
        liar.http.headers["x-forwarded-for"] = f"10.0.0.{number}"
        codes.append(ask(liar, "slow").status_code)
    assert codes == [200] * call_queue.MOST_OPEN + [429]
    monkeypatch.setattr(call_queue, "SILENCE", 0)
    until(lambda: not blocks._queue.event_ids_to_events)


def test_calls_without_a_listener_are_given_up(
    slow: Slow,
    ask: Any,
    visitor: Callable[[int], visitors.Visitor],
    blocks: Page,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call_queue, "SILENCE", 60)
    monkeypatch.setattr(call_queue, "PAUSE", 0.05)
    quiet = visitor(4)
    passed = slow.passed
    events = [ask(quiet, "slow").json()["event_id"] for _ in range(jobs.AT_ONCE + 1)]
    until(lambda: slow.passed > passed)
    assert len(blocks._queue.event_ids_to_events) == len(events)
    monkeypatch.setattr(call_queue, "SILENCE", 0.5)
    until(lambda: not blocks._queue.event_ids_to_events, 10)  # they would take 40 s
    passed = slow.passed
    time.sleep(0.3)
    assert slow.passed == passed  # within its only tile
    for event in events:  # who comes late is told
        said = quiet.http.get(f"/gradio_api/call/upscale/{event}").text
        assert "nobody waited" in said


def test_who_listens_gets_an_answer_however_long_it_takes(
    slow: Slow, visitor: Callable[[int], visitors.Visitor], soon: None, tmp_path: Any
) -> None:
    slow.pause = 0.005  # two seconds: longer than silence would be suffered
    visitors.image(1).save(tmp_path / "in.png")
    patient = visitor(5)
    answer = patient.upscale(tmp_path / "in.png", "slow")
    assert visitors.fingerprint(answer) == visitors.fingerprint(
        Nearest().upscale(Image.open(tmp_path / "in.png"))
    )


def test_who_disconnects_stops_the_work(
    slow: Slow, ask: Any, visitor: Callable[[int], visitors.Visitor], blocks: Page, soon: None
) -> None:
    leaver = visitor(6)
    event = ask(leaver, "slow").json()["event_id"]
    with (
        pytest.raises(httpx.ReadTimeout),
        leaver.http.stream("GET", f"/gradio_api/call/upscale/{event}", timeout=0.5) as answer,
    ):
        answer.read()
    until(lambda: not blocks._queue.event_ids_to_events, 10)
    passed = slow.passed
    time.sleep(0.3)
    assert slow.passed == passed


def test_a_cancelled_call_does_not_go_on_beside_the_next(
    slow: Slow, visitor: Callable[[int], visitors.Visitor], blocks: Page, tmp_path: Any
) -> None:
    visitors.image(1).save(tmp_path / "in.png")
    nosy = visitor(7)
    path = nosy.upload(tmp_path / "in.png")
    (number,) = [n for n, fn in blocks.fns.items() if fn.api_name == "upscale"]
    call = {**arguments(path, "slow"), "fn_index": number, "session_hash": "canceller"}
    passed = slow.passed
    event = nosy.http.post("/gradio_api/queue/join", json=call).json()["event_id"]
    until(lambda: slow.passed > passed)
    named = {"session_hash": "canceller", "fn_index": number, "event_id": event}
    assert nosy.http.post("/gradio_api/cancel", json=named).is_success
    time.sleep(0.3)
    passed = slow.passed
    time.sleep(0.3)
    assert slow.passed == passed


def test_work_that_takes_far_longer_than_measured_is_stopped(
    slow: Slow,
    visitor: Callable[[int], visitors.Visitor],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    monkeypatch.setattr(jobs, "LEAST_TIME", 0.5)
    visitors.image(1).save(tmp_path / "in.png")
    with pytest.raises(visitors.RefusedError, match=r"took longer than \d+ s, so it was stopped"):
        visitor(8).upscale(tmp_path / "in.png", "slow")


def test_the_time_limit_follows_the_measured_cost(models: dict[str, SuperResolutionModel]) -> None:
    quick, slow = Nearest(), Slow()
    slow.pause = 0.0005
    assert jobs.measure(slow) > 5 * jobs.measure(quick)
    job = jobs.Job()
    token = jobs.current.set(job)
    jobs.allow({slow: 10**6})
    jobs.current.reset(token)
    assert job._seconds == pytest.approx(jobs.LEAST_TIME + jobs.SLACK * 10**6 * jobs.measure(slow))


def test_a_session_needs_a_sane_name(visitor: Callable[[int], visitors.Visitor]) -> None:
    body = {"data": [], "fn_index": 0, "session_hash": "x" * 1000}
    answer = visitor(9).http.post("/gradio_api/queue/join", json=body)
    assert answer.status_code == 422 and "1 to 64 characters" in answer.text


def test_nothing_is_kept_for_nobody(
    ask: Any,
    visitor: Callable[[int], visitors.Visitor],
    blocks: Page,
    soon: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call_queue, "KEPT", 0.5)
    for _ in range(6):
        assert ask(visitor(10), "quick").is_success
        until(lambda: not blocks._queue.event_ids_to_events)
    queue = blocks._queue
    until(lambda: not queue.pending_messages_per_session and not queue.pending_event_ids_session)
    assert len(queue.event_analytics) <= 1


def test_refused_values_are_not_kept(
    visitor: Callable[[int], visitors.Visitor], blocks: Page
) -> None:
    visitor = visitor(11)
    large = ["x" * 50_000]
    for session in range(3):
        body = {
            "data": [{"path": "a", "more": large}, *[large] * 5],
            "session_hash": f"large-{session}",
            "fn_index": next(n for n, fn in blocks.fns.items() if fn.api_name == "upscale"),
        }
        assert visitor.http.post("/gradio_api/queue/join", json=body).status_code == 413
        body["data"] = [{"path": "a", "more": ["x" * 10_000]}, *[["x" * 10_000]] * 5]
        assert visitor.http.post("/gradio_api/queue/join", json=body).is_success
        visitor.listen(f"/gradio_api/queue/data?session_hash=large-{session}")
        kept = blocks.app.state_holder.session_data[f"large-{session}"].config_values
        assert "xxxx" not in json.dumps(kept, default=str)


def test_uploads_nobody_asks_after_are_forgotten(
    visitor: Callable[[int], visitors.Visitor], monkeypatch: pytest.MonkeyPatch
) -> None:
    someone = visitor(13)
    statuses = page.routes.file_upload_statuses
    monkeypatch.setattr(statuses._statuses, "max_size", 5)
    monkeypatch.setattr(statuses._signals, "max_size", 5)
    for number in range(20):
        files = {"files": ("a.png", b"1")}
        to = f"/gradio_api/upload?upload_id={number}"
        assert someone.http.post(to, files=files).is_success
    assert len(statuses._statuses) <= 5 and len(statuses._signals) <= 5
    told = someone.http.get("/gradio_api/upload_progress?upload_id=19").text
    assert '"done"' in told


def test_memory_does_not_grow_with_sessions(
    visitor: Callable[[int], visitors.Visitor], blocks: Page
) -> None:
    """Each call of the page in a session of its own, as 1,000 people would make them."""
    someone = visitor(12)
    number = next(n for n, fn in blocks.fns.items() if not fn.queue and len(fn.inputs) == 1)
    body = {"fn_index": number, "data": [0]}

    def open_sessions(count: int, name: str) -> int:
        for index in range(count):
            someone.http.post(
                "/gradio_api/run/predict", json={**body, "session_hash": f"{name}{index}"}
            )
        return psutil.Process().memory_info().rss

    before = open_sessions(200, "first")
    after = open_sessions(1000, "second")
    assert len(blocks.app.state_holder.session_data) <= demo.MOST_SESSIONS
    assert after < before * 1.05


@pytest.mark.parametrize(
    ("host", "same"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_an_address_or_the_network_of_a_customer(host: str, same: str) -> None:
    class Request:
        client = type("Address", (), {"host": host})()

    assert call_queue.client(Request()) == same


def test_stopping_is_asked_for_in_the_thread_of_the_job_alone() -> None:
    model = Nearest()
    jobs.watch({"nearest": model})
    stopped = jobs.Job()
    stopped.stop()
    found: list[Any] = []

    def elsewhere() -> None:
        found.append(model(torch.zeros(1, 3, 2, 2)).shape)

    jobs.current.set(stopped)
    try:
        with pytest.raises(gr.Error, match="nobody waited"):
            model(torch.zeros(1, 3, 2, 2))
        with pytest.raises(gr.Error), values.readable():
            model.upscale(Image.new("RGB", (4, 4)))
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    finally:
        jobs.current.set(None)
    assert found == [(1, 3, 4, 4)]
