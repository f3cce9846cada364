() => {
  // Gradio leaves tab panels without a name, and so the images that it makes buttons of, or it
  // gives them a number alone.
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
      tabindex: 0, role: "slider", "aria-label": "Divider: per cent of the left image",
      "aria-valuemin": 0, "aria-valuemax": 100,
    };
    for (const [name, value] of Object.entries(attributes)) handle.setAttribute(name, value);
    handle.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -0.05, ArrowRight: 0.05, Home: -1, End: 1 };
      const step = steps[event.key];
      // until its images are loaded the divider has no place, and moved then it would lose it
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
  // Arrow keys go from tab to tab, as people expect of a row of tabs.
  const walked = (list) => {
    list.dataset.walked = "";
    list.addEventListener("keydown", (event) => {
      const tabs = [...list.querySelectorAll("[role=tab]")];
      const place = tabs.indexOf(document.activeElement);
      const places = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: tabs.length - 1 };
      if (place < 0 || !(event.key in places)) return;
      event.preventDefault();
      const next = tabs[(places[event.key] + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
  };
  // One lens over all images of a gallery: they show the same place, four times as large.
  const magnified = (gallery) => {
    gallery.dataset.lens = "";
    gallery.addEventListener("pointermove", (event) => {
      const image = event.target.closest(".thumbnail-lg img");
      gallery.classList.toggle("magnified", Boolean(image));
      if (!image) return;
      const { left, top, width, height } = image.parentElement.getBoundingClientRect();
      gallery.style.setProperty("--lens-x", `${(100 * (event.clientX - left)) / width}%`);
      gallery.style.setProperty("--lens-y", `${(100 * (event.clientY - top)) / height}%`);
    });
    gallery.addEventListener("pointerleave", () => gallery.classList.remove("magnified"));
  };
  // A movie before and after: one above the other, played together, parted by a divider.
  const linked = (box) => {
    box.dataset.linked = "";
    const [before, after] = box.querySelectorAll("video");
    const button = box.querySelector("button"), divider = box.querySelector("input");
    for (const video of [before, after])  // the browser cannot play it
      video.addEventListener("error", () => { box.hidden = true; });
    divider.addEventListener("input", () => box.style.setProperty("--part", `${divider.value}%`));
    button.addEventListener("click", () => {
      const play = after.paused;
      for (const video of [before, after]) play ? video.play() : video.pause();
      button.textContent = play ? "Pause both" : "Play both";
      button.setAttribute("aria-pressed", play);
    });
    after.addEventListener("timeupdate", () => {
      if (Math.abs(before.currentTime - after.currentTime) > 0.05)
        before.currentTime = after.currentTime;
    });
  };
  const look = () => {
    for (const gallery of document.querySelectorAll(".pairs:not([data-lens])")) magnified(gallery);
    for (const box of document.querySelectorAll(".versus:not([data-linked])")) linked(box);
    for (const list of document.querySelectorAll("[role=tablist]:not([data-walked])")) walked(list);
    for (const empty of document.querySelectorAll("div[aria-label]:not([role])"))
      empty.setAttribute("role", "img");
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
}
