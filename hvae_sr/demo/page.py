"""The page as gradio serves it, with this demo's own rules for what comes in."""

import logging
from typing import Any

import gradio as gr

from hvae_sr.demo.values import NOT_UNDERSTOOD, check, explained, refusal, vetted

log = logging.getLogger(__name__)


class Page(gr.Blocks):
    """Blocks that answer what they cannot do in one sentence.

    gradio would let through values which do not fit their components (NaN, a list for a name, a
    file of the server), and say nothing of what goes wrong.
    """

    async def process_api(
        self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        try:
            if (event := kwargs.get("event_data")) is not None:
                vetted(event._data)
            return await super().process_api(block_fn, inputs, *args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:  # whatever it is, visitors get a sentence, and the log the rest
            log.exception("a call failed")
            raise refusal(explained(error)) from error

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        if len(inputs) < len(block_fn.inputs):
            raise refusal(f"this takes {len(block_fn.inputs)} values, and got {len(inputs)}")
        inputs = [  # what lies in the session is not the visitor's to say
            None if component.stateful else vetted(value)
            for component, value in zip(block_fn.inputs, inputs, strict=False)
        ]
        for component, value in zip(block_fn.inputs, inputs, strict=True):
            check(component, value)
        try:
            return await super().preprocess_data(block_fn, inputs, state, explicit_call)
        except (ValueError, TypeError, OSError) as error:
            raise refusal(NOT_UNDERSTOOD) from error
