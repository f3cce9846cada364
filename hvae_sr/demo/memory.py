"""What a browser remembers of the page: its settings, and which tab is open; no server is asked."""

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from hvae_sr.demo.tab import Tab


def connect(page: gr.Blocks, tabs: gr.Tabs, shown: Sequence[Tab[Any]]) -> None:
    """Let a browser keep the settings of all tabs, and take those that a link names.

    Args:
        page: what is loaded.
        tabs: the row of tabs.
        shown: the tabs in it.
    """
    ids = [tab.id for tab in shown]
    page.load(None, None, tabs, js=f"() => hvaeSr.tab({ids})", api_visibility="private")
    for tab in shown:
        tab.container.select(
            None, None, None, js=f"() => hvaeSr.opened('{tab.id}')", api_visibility="private"
        )
        components = list(tab.settings.values())
        rules = json.dumps({name: rule(each) for name, each in tab.settings.items()})
        restored = f"hvaeSr.restored('{tab.id}', {rules})"
        if len(components) == 1:
            restored += "[0]"
        page.load(None, None, components, js=f"() => {restored}", api_visibility="private")
        keep = f"(...values) => hvaeSr.keep('{tab.id}', {list(tab.settings)}, values)"
        for each in components:
            each.change(None, components, None, js=keep, api_visibility="private")


def rule(component: gr.Component) -> dict[str, Any]:
    """What values a component takes, so that a browser restores no other ones."""
    if isinstance(component, gr.Checkbox):
        return {"type": "boolean"}
    if isinstance(component, gr.Slider | gr.Number):
        return {"least": component.minimum, "most": component.maximum}
    if getattr(component, "allow_custom_value", False):
        return {"type": "string"}
    several = isinstance(component, gr.CheckboxGroup)
    return {"choices": [value for _, value in component.choices], "several": several}
