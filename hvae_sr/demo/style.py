"""How the page looks. Every font is the reader's own, so that it looks the same offline."""

import gradio as gr

HEAD = """# hvae-sr
Enlarge pictures and movies, see how sure a model is, and draw new pictures from nothing."""

THEME = gr.themes.Default(
    primary_hue="indigo",
    secondary_hue="indigo",
    neutral_hue="slate",
    radius_size="lg",
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Ubuntu", "sans-serif"],
    font_mono=["ui-monospace", "Consolas", "Menlo", "monospace"],
).set(
    # gradio's own grey is too pale on white to be read by everyone
    body_text_color_subdued="*neutral_600",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    # white on its primary_500 stays just below the contrast of 4.5 that readers need
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
)

CSS = """
.gradio-container { max-width: 1280px !important; margin: 0 auto !important; }
.main.app { padding-inline: clamp(1em, 4vw, 2em) !important; }  /* @media does not reach it */
.head h1 { margin: 0; }
.head p, .note, .note p { color: var(--body-text-color-subdued) !important; }
.figures { font-size: var(--text-lg); font-variant-numeric: tabular-nums; }
.scale { display: flex; align-items: center; gap: 0.75em; margin: 0.25em 0; }
.scale span { white-space: nowrap; font-variant-numeric: tabular-nums; }
.scale div { flex: 1; height: 0.75em; border-radius: 0.375em; }
.grid-wrap { max-height: none !important; min-height: 0 !important; }
.grid-container {
  padding-top: 1.75em;  /* below the label */
  grid-template-columns: repeat(var(--grid-cols), minmax(0, 1fr)) !important;
}
.strips .thumbnail-lg {  /* a row of samples under the words that say what it keeps */
  display: flex !important;
  flex-direction: column-reverse;
  gap: 0.25em;
  aspect-ratio: auto !important;
  height: auto !important;
  padding: 0.25em;
}
.strips .thumbnail-lg > img { height: auto !important; border-radius: 0 !important; }
.strips .caption-label {
  position: static !important;
  max-width: 100% !important;
  padding: 0 0.25em !important;
  border: 0 !important;
  background: none !important;
  font-size: var(--text-md) !important;
  white-space: normal !important;
}
.below .image-container { padding-top: 2.5em; }  /* below the label and the buttons */
.strips .grid-container { grid-template: none / 1fr !important; grid-auto-rows: auto !important; }
.secondary-wrap input { padding-right: 2em !important; text-overflow: ellipsis; }
.captions .thumbnail-lg { aspect-ratio: auto; display: flex; flex-direction: column; }
.captions .thumbnail-lg img { aspect-ratio: 1; height: auto; min-height: 0; }
.captions .caption-label {
  position: static;
  max-width: none;
  width: 100%;
  text-align: left;
  white-space: normal;
  border: 0;
}
.column .wrap { flex-direction: column; }
.scores { contain: inline-size; }  /* a wide table scrolls, not the page */
footer .divider { display: none; }
@media (max-width: 640px) {
  .tab-container { gap: 0 !important; }
  .tab-container button { padding: 0 0.25em !important; font-size: var(--text-md) !important; }
  .block:has(.grid-wrap) > label { position: static !important; }  /* it may take two lines */
  .grid-container { padding-top: 0; grid-template-rows: none !important; grid-auto-rows: auto; }
  .below .image-container { padding-top: 3.5em; }
  .pairs .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
}
"""

# Gradio leaves tab panels without a name, and so the pictures that it makes buttons of, or it
# gives them a number alone.
NAMES = """() => {
  const named = (element, name) => {
    const label = element?.getAttribute("aria-label") ?? "";
    if (element && name && !label.includes(name))
      element.setAttribute("aria-label", [name, label].filter(Boolean).join(", "));
  };
  const file = (button) => button.querySelector("img")?.src.split("/").pop().split(".")[0];
  // The divider of an image slider listens to the mouse alone: arrow keys move it as a mouse would.
  const steered = (handle) => {
    const centre = () => {
      const { left, top, width, height } = handle.getBoundingClientRect();
      return [left + width / 2, top + height / 2];
    };
    const drag = (target, type, clientX, clientY) => target.dispatchEvent(
      new MouseEvent(type, { view: window, bubbles: true, clientX, clientY }));
    const shown = () => {
      const { left, width } = handle.parentElement.getBoundingClientRect();
      handle.setAttribute("aria-valuenow", Math.round(100 * (centre()[0] - left) / width));
    };
    const attributes = {
      tabindex: 0, role: "slider", "aria-label": "Divider: per cent of the left picture",
      "aria-valuemin": 0, "aria-valuemax": 100,
    };
    for (const [name, value] of Object.entries(attributes)) handle.setAttribute(name, value);
    handle.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -0.05, ArrowRight: 0.05, Home: -1, End: 1 };
      const step = steps[event.key];
      // until its pictures are loaded the divider has no place, and moved then it would lose it
      if (!step || !handle.style.transform) return;
      event.preventDefault();
      const [x, y] = centre();
      const there = x + step * handle.parentElement.getBoundingClientRect().width;
      drag(handle.firstElementChild, "mousedown", x, y);
      drag(window, "mousemove", there, y);
      drag(window, "mouseup", there, y);
    });
    new MutationObserver(shown).observe(handle, { attributeFilter: ["style"] });
    shown();
  };
  const look = () => {
    for (const tab of document.querySelectorAll("[role=tab][aria-controls]"))
      named(document.getElementById(tab.getAttribute("aria-controls")), tab.innerText);
    for (const button of document.querySelectorAll("button.gallery-item"))
      named(button, file(button) && `Example: ${file(button)}`);
    for (const button of document.querySelectorAll("button.thumbnail-lg"))
      named(button, button.querySelector(".caption-label")?.innerText.trim());
    for (const handle of document.querySelectorAll("[data-testid=slider]:not([tabindex])"))
      steered(handle);
  };
  new MutationObserver(look).observe(document.body, {
    childList: true, subtree: true, attributeFilter: ["aria-controls"],
  });
  look();
}"""
