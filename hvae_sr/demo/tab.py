"""What a tab is: a class that lays out its components and answers its events by methods.

A method that answers an event takes and gives back what the components hold, so that tests and
other code call it without a page and without a server.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import gradio as gr

from hvae_sr.demo import jobs
from hvae_sr.models.base import SuperResolutionModel

DEEPER = " " * 8  # what the second line of an argument's description begins with
Model = TypeVar("Model", bound=SuperResolutionModel)


class Tab(ABC, Generic[Model]):
    """One tab of the page.

    Args:
        models: name -> model; without any that suits it, the tab is not shown.
    """

    title: ClassVar[str]
    id: ClassVar[str]

    def __init__(self, models: Mapping[str, SuperResolutionModel]):
        self.models = self.suitable(models)

    @abstractmethod
    def suitable(self, models: Mapping[str, SuperResolutionModel]) -> dict[str, Model]:
        """Those of the models that its menu offers."""

    def build(self) -> None:
        """Lay out the tab and connect its events; inside `gr.Tabs`."""
        if self.models:
            with gr.Tab(self.title, id=self.id, elem_id=f"tab-{self.id}") as self.container:
                self.lay_out()
                self.connect()

    @abstractmethod
    def lay_out(self) -> None:
        """Make the components."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, gr.Component]:
        """Its components that this browser remembers, by the names that links use."""

    @abstractmethod
    def connect(self) -> None:
        """Let events of the components call methods."""


def documented(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method whose docstring has each argument and each result on one line.

    gradio reads descriptions for clients line by line, and would cut them.
    """
    lines: list[str] = []
    for line in inspect.cleandoc(method.__doc__ or "").splitlines():
        if line.startswith(DEEPER) and lines:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    method.__doc__ = "\n".join(lines)
    return method


@dataclass(frozen=True)
class Action:
    """A button that asks a model, one that cancels it, and what is said of a cancellation."""

    start: gr.Button
    cancel: gr.Button
    said: gr.HTML

    @classmethod
    def laid_out(cls, label: str) -> "Action":
        """The components, in a row; "Cancel" is seen only while the action runs."""
        with gr.Row(elem_classes="action"):
            start = gr.Button(label, variant="primary", size="lg", scale=3, elem_id=_id(label))
            cancel = gr.Button("Cancel", size="lg", visible=False, scale=1, min_width=96)
        return cls(start, cancel, gr.HTML(label="Whether it was cancelled", elem_classes="note"))

    @property
    def press(self) -> str:
        """JavaScript that presses the button."""
        return f"() => document.getElementById('{self.start.elem_id}').click()"

    def run(
        self,
        method: Callable[..., Any],
        inputs: Sequence[gr.Component],
        outputs: Sequence[gr.Component],
        *,
        old: gr.Markdown,
        download: gr.DownloadButton | None = None,
        lane: str = "model",
        at_once: int = jobs.AT_ONCE,
    ) -> Any:
        """Let the button call a method, of whose name the API's endpoint is.

        Args:
            old: seen while the result is one of other inputs than those on the page.
            download: of the outputs, which can be pressed from the first answer on.
            lane: calls of one lane wait for each other.
            at_once: how many calls of a lane run at the same time.

        Returns:
            the event.
        """
        name = method.__name__
        # First, and in the browser alone: what the server answers could arrive after the end of
        # the action, or after "Cancelled.".
        _in_browser(
            self.start.click,
            inputs,
            [self.cancel, self.said, old],
            f"(...values) => [hvaeSr.seen(true), '', hvaeSr.seen(hvaeSr.asks('{name}', values))]",
        )
        running = self.start.click(
            method,
            inputs,
            outputs,
            api_name=name,
            concurrency_id=lane,
            concurrency_limit=at_once,
            show_progress_on=outputs[0],
            scroll_to_output=True,
        )
        compared = f"hvaeSr.seen(hvaeSr.isOld('{name}', values))"
        ended = f"(...values) => [hvaeSr.seen(false), {compared}]"
        _in_browser(running.then, inputs, [self.cancel, old], ended)
        answered = f"(...values) => (hvaeSr.answers('{name}'), {compared})"
        _in_browser(running.success, inputs, old, answered)
        for each in inputs:
            _in_browser(each.change, inputs, old, f"(...values) => {compared}")
        if download is not None:
            running.success(lambda: gr.update(interactive=True), None, download, **QUIET)
        self.cancel.click(lambda: CANCELLED, None, self.said, cancels=running, **QUIET)
        return running


def _in_browser(event: Callable[..., Any], inputs: Any, outputs: Any, js: str) -> None:
    event(None, inputs, outputs, js=js, api_visibility="private")


def _id(label: str) -> str:
    return f"press-{label.lower().replace(' ', '-')}"


CANCELLED = '<p role="status">Cancelled.</p>'

# Of events that only change the page: at once, unseen, and not for clients of the API.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
