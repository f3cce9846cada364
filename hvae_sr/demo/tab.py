"""What a tab is: a class that lays out its components and answers its events by methods.

A method that answers an event takes and gives back what the components hold, so that tests and
other code call it without a page and without a server.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import gradio as gr

from hvae_sr.models.base import SuperResolutionModel

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
            with gr.Tab(self.title, id=self.id, elem_id=f"tab-{self.id}"):
                self.lay_out()
                self.connect()

    @abstractmethod
    def lay_out(self) -> None:
        """Make the components."""

    @abstractmethod
    def connect(self) -> None:
        """Let events of the components call methods."""


def run(
    button: gr.Button,
    action: Callable[..., Any],
    inputs: Sequence[gr.Component],
    outputs: Sequence[gr.Component],
    *,
    api_name: str,
    lane: str = "model",
) -> Any:
    """Let a button ask a model, in a lane in which one call runs at a time.

    The download, last of the outputs, can be pressed from the first answer on.

    Returns:
        the event, which others may cancel.
    """
    event = button.click(
        action,
        inputs,
        outputs,
        api_name=api_name,
        concurrency_id=lane,
        show_progress_on=outputs[0],
        scroll_to_output=True,
    )
    event.success(_enabled, None, outputs[-1], **QUIET)
    return event


# Of events that only change the page: at once, unseen, and not for clients of the API.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def _enabled() -> dict[str, Any]:
    return gr.update(interactive=True)
