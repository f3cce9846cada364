"""The demo in a real browser: `python app.py`, a photograph in, a PNG out, no outside request."""

import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image
from skimage import data
from test_demo_movie import clip
from test_movies import add_video, encode, hum, packets

from hvae_sr.imaging.files import file_record

sync_api = pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
SIDE = 32
PATIENCE = 30_000  # milliseconds that one answer may take on a busy machine


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        reason = f"no browser on the path: install one of {', '.join(BROWSERS)}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(browser: sync_api.Browser) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "app.py", "--port", str(port)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        said = []
        for line in server.stdout:
            said.append(line)
            if "Running on local URL" in line:
                break
        else:
            pytest.fail(f"the demo did not start:\n{''.join(said)}")
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture
def page(browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:
    """The page, watched: no request may leave the machine, no script may fail."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(address)
    page.locator("[role=tablist][data-walked]").first.wait_for(timeout=4 * PATIENCE)  # page.js
    yield page
    context.close()
    outside = [url for url in requests if not url.startswith((address, "blob:", "data:"))]
    assert outside == []
    assert complaints == []


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "cat.png"
    Image.fromarray(data.chelsea()).resize((SIDE, SIDE)).save(path)
    return path


def natural_width(picture: sync_api.Locator) -> int:
    """Pixels of an image element, once it is loaded."""
    picture.wait_for()
    return picture.evaluate("image => image.decode().then(() => image.naturalWidth)")


def press_upscale(page: sync_api.Page, file: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(file)
    page.get_by_role("button", name="Remove Image").wait_for()
    page.get_by_role("button", name="Upscale", exact=True).click()


def choose_sampler(page: sync_api.Page) -> None:
    """A model that gives several samples, with the settings that it has."""
    page.get_by_role("combobox", name="Model").first.click()
    page.get_by_role("option", name="photo-hvae").first.click()
    page.get_by_role("spinbutton", name="Number of samples").wait_for()


def test_upscale_and_download(page: sync_api.Page, photograph: Path, tmp_path: Path) -> None:
    press_upscale(page, photograph)
    page.get_by_text(f"from {SIDE} x {SIDE}").wait_for()
    pictures = page.locator("#answer img")
    assert [natural_width(pictures.nth(index)) for index in (0, 1)] == [4 * SIDE] * 2
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the image").click()
    assert waiting.value.suggested_filename == "cat-photo-cnn-x4.png"
    waiting.value.save_as(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as result:
        assert (result.format, result.size) == ("PNG", (4 * SIDE, 4 * SIDE))


def test_several_samples_and_uncertainty(page: sync_api.Page, photograph: Path) -> None:
    choose_sampler(page)
    page.get_by_role("spinbutton", name="Temperature").first.fill("0.8")
    page.get_by_role("spinbutton", name="Number of samples").fill("3")
    page.get_by_role("button", name="Random seed").first.click()
    press_upscale(page, photograph)
    page.get_by_text("sample 1 of 3").wait_for()
    thumbnails = page.get_by_role("button", name="Thumbnail")
    sync_api.expect(thumbnails).to_have_count(3)
    seed = page.get_by_role("spinbutton", name="Seed").first.input_value()
    sync_api.expect(page.get_by_text(f"seed {seed}")).to_be_visible()


@pytest.mark.parametrize("key", [None, "Enter"])
def test_chosen_sample_fills_slider_and_download(
    page: sync_api.Page, photograph: Path, tmp_path: Path, key: str | None
) -> None:
    choose_sampler(page)
    page.get_by_role("spinbutton", name="Temperature").first.fill("1")
    page.get_by_role("spinbutton", name="Number of samples").fill("3")
    press_upscale(page, photograph)
    page.get_by_text("sample 1 of 3").wait_for()
    second = page.get_by_role("button", name="Thumbnail 2 of 3")
    second.press(key) if key else second.click()
    page.get_by_text("sample 2 of 3").wait_for()
    source = second.locator("img").get_attribute("src")
    assert source is not None
    sync_api.expect(page.locator("#answer img").nth(1)).to_have_attribute("src", source)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the image").click()
    assert waiting.value.suggested_filename == "cat-photo-hvae-x4-T1-seed0-sample2.png"
    waiting.value.save_as(tmp_path / "out.png")
    record = file_record(tmp_path / "out.png")
    assert record is not None and record["sample"] == 2
    press_upscale(page, photograph)  # the next answers start with the first sample again
    page.get_by_text("sample 1 of 3").wait_for()


def test_keys_move_the_divider(page: sync_api.Page, photograph: Path) -> None:
    press_upscale(page, photograph)
    for index in (0, 1):
        natural_width(page.locator("#answer img").nth(index))
    divider = page.get_by_role("slider", name="Divider")
    sync_api.expect(divider).to_have_attribute("aria-valuenow", "50")
    places = {"ArrowRight": (54, 56), "End": (90, 100), "ArrowLeft": (85, 97), "Home": (0, 10)}
    for key, (least, most) in places.items():
        divider.press(key)
        page.wait_for_function(
            "([least, most]) => { const place = document.querySelector('#answer [role=slider]')"
            ".getAttribute('aria-valuenow'); return least <= place && place <= most }",
            arg=[least, most],
        )
        shown = page.locator("#answer img").nth(1).evaluate("image => image.style.clipPath")
        place = float(divider.get_attribute("aria-valuenow") or "nan")
        assert float(shown.split()[-1].rstrip("%)")) == pytest.approx(place, abs=4)


def test_comparison_of_a_reference(page: sync_api.Page, photograph: Path) -> None:
    page.get_by_role("tab", name="Compare").click()
    panel = page.get_by_role("tabpanel", name="Compare")
    panel.locator("input[type=file]").first.set_input_files(photograph)
    panel.get_by_role("button", name="Remove Image").wait_for()
    panel.get_by_role("checkbox", name="high-resolution reference").press("Space")
    panel.get_by_role("checkbox", name="study-cnn-cifar10-x4").check()
    panel.get_by_role("button", name="Compare").click()
    grid = panel.get_by_role("grid", name="Scores")
    row = grid.get_by_role("row").filter(has_text="study-cnn-cifar10-x4")
    sync_api.expect(row).to_have_text(re.compile(r"\d\d\.\d\d\s*0\.\d{4}\s*\d\d\.\d.*gaussian"))
    sync_api.expect(grid.get_by_role("row").filter(has_text="bicubic")).not_to_have_count(0)
    answer = panel.get_by_role("button", name="photo-hvae-x4 · ")
    assert natural_width(answer.get_by_role("img")) == SIDE
    sync_api.expect(panel.get_by_role("button", name="reference, Thumbnail 1")).to_be_visible()
    sync_api.expect(panel.get_by_role("button", name=f"input {SIDE // 4} x")).to_have_count(2)


def test_comparison_needs_a_model(page: sync_api.Page, photograph: Path) -> None:
    page.get_by_role("tab", name="Compare").click()
    panel = page.get_by_role("tabpanel", name="Compare")
    for choice in panel.get_by_role("group").get_by_role("checkbox").all():
        choice.uncheck()
    panel.get_by_role("button", name="Compare").click()
    page.get_by_test_id("toast-body").filter(has_text="choose at least one").wait_for()


def test_deterministic_model_hides_what_it_does_not_use(page: sync_api.Page) -> None:
    temperature = page.get_by_role("spinbutton", name="Temperature").first
    sync_api.expect(temperature).to_be_hidden()  # the first model is deterministic
    choose_sampler(page)
    sync_api.expect(temperature).to_be_visible()
    page.get_by_role("combobox", name="Model").first.click()
    page.get_by_role("option", name="study-cnn").first.click()
    sync_api.expect(temperature).to_be_hidden()
    sync_api.expect(page.get_by_text("This model has one answer").first).to_be_visible()


def test_example_fills_the_image_and_is_answered(page: sync_api.Page) -> None:
    page.locator("button.gallery-item").first.click()
    assert natural_width(page.get_by_alt_text("The image to enlarge")) == 96
    page.get_by_text("from 96 x 96").wait_for()


def test_prior_samples(page: sync_api.Page) -> None:
    page.get_by_role("tab", name="Samples").click()
    page.get_by_role("button", name="Draw samples").click()
    thumbnails = page.get_by_role("button", name="Thumbnail")
    sync_api.expect(thumbnails).to_have_count(16)
    assert natural_width(thumbnails.first.locator("img")) == 128
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the grid as PNG").click()
    assert waiting.value.suggested_filename.endswith("-seed0.png")


def test_broken_file_gets_a_sentence(page: sync_api.Page, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing of use")
    press_upscale(page, tmp_path / "broken.png")
    toast = page.get_by_test_id("toast-body")
    toast.wait_for()
    assert "broken.png" in toast.inner_text()
    assert "/" not in toast.inner_text() and "Traceback" not in toast.inner_text()


def press_upscale_movie(page: sync_api.Page, file: Path) -> None:
    page.get_by_role("tab", name="Movie").click()
    panel = page.get_by_role("tabpanel", name="Movie")
    if panel.get_by_role("button", name="Clear").count():
        panel.get_by_role("button", name="Clear").first.click()
    panel.locator("input[type=file]").set_input_files(file)
    panel.get_by_role("button", name="Clear").first.wait_for()
    panel.get_by_role("button", name="Upscale the movie").click()


def test_movie_and_download(page: sync_api.Page, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film.mp4"), "w") as film:
        video, sound = add_video(film), film.add_stream("aac", rate=48000)
        hum(film, sound)
        encode(film, video, [0, 40, 80])
    press_upscale_movie(page, tmp_path / "film.mp4")
    page.get_by_text("from 32 x 24 · 3 frames").wait_for()
    both = page.locator(".versus video")
    assert [each.get_attribute("class") for each in both.all()] == ["before", "after"]
    page.wait_for_function(
        "[...document.querySelectorAll('.versus video')].every((film) => film.videoWidth > 0)"
    )
    page.get_by_role("slider", name="Divider: per cent of the movie before").fill("20")
    assert "20%" in page.locator(".versus").evaluate("box => box.style.cssText")
    page.get_by_role("button", name="Play both").click()
    page.get_by_role("button", name="Pause both").click()
    film = page.locator("#film video")
    page.wait_for_function("document.querySelector('#film video').videoWidth > 0")
    assert film.evaluate("film => [film.videoWidth, film.videoHeight]") == [64, 48]
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the movie").click()
    assert waiting.value.suggested_filename == "film-x2.mp4"
    waiting.value.save_as(tmp_path / "out.mp4")
    assert packets(tmp_path / "out.mp4") == packets(tmp_path / "film.mp4") != {}


def test_broken_movie_gets_a_sentence(page: sync_api.Page, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no movie at all")
    press_upscale_movie(page, tmp_path / "broken.mp4")
    toast = page.get_by_test_id("toast-body").filter(has_text="broken.mp4 is damaged")
    toast.wait_for()
    assert "/" not in toast.inner_text() and "Traceback" not in toast.inner_text()


def test_a_cancelled_movie_lets_the_next_one_through(page: sync_api.Page, tmp_path: Path) -> None:
    press_upscale_movie(page, clip(tmp_path / "long.mp4", 240, 96, 64))
    page.get_by_text("/240 frames").wait_for()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_text("Cancelled.").wait_for()
    press_upscale_movie(page, clip(tmp_path / "short.mp4", 2))
    page.get_by_text("from 32 x 24 · 2 frames").wait_for()


def test_levels(page: sync_api.Page) -> None:
    page.get_by_role("tab", name="Levels").click()
    page.get_by_role("button", name="Redraw the levels").click()
    first = page.get_by_role("button", name="Kept: nothing, Thumbnail 1 of")
    assert natural_width(first.get_by_role("img")) == 6 * 128 + 5 * 8
    page.get_by_role("button", name="Kept: y, Thumbnail").wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the rows as PNG").click()
    assert waiting.value.suggested_filename.endswith("-levels-seed0.png")


def test_levels_of_a_photograph(page: sync_api.Page, photograph: Path) -> None:
    page.get_by_role("tab", name="Levels").click()
    panel = page.get_by_role("tabpanel", name="Levels")
    panel.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="photo-hvae").first.click()
    panel.get_by_role("button", name="Redraw the levels").click()
    toast = page.get_by_test_id("toast-body")
    toast.filter(has_text="only enlarges: give it an image").wait_for()
    panel.get_by_role("button", name="Levels of your own image").click()
    panel.get_by_role("button", name="Example: coffee").press("Enter")
    panel.get_by_role("button", name="Remove Image").click()
    panel.locator("input[type=file]").set_input_files(photograph)
    panel.get_by_role("button", name="Remove Image").wait_for()
    panel.get_by_role("button", name="Redraw the levels").click()
    panel.get_by_role("button", name=f"Kept: x down to its {SIDE}x{SIDE} latents").wait_for()


def test_interpolation(page: sync_api.Page) -> None:
    page.get_by_role("tab", name="Samples").click()
    page.get_by_role("spinbutton", name="Steps").fill("4")
    page.get_by_role("button", name="Interpolate").click()
    assert natural_width(page.get_by_alt_text("A strip of samples")) == 4 * 128 + 3 * 8
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the strip as PNG").click()
    assert waiting.value.suggested_filename.endswith("-seed0-to-1.png")


def opened_tabs(page: sync_api.Page) -> Iterator[sync_api.Locator]:
    """The panel of each tab, opened by keyboard; the focus stays on the tab."""
    page.get_by_role("tab").first.wait_for()
    for tab in page.get_by_role("tab").all():
        tab.press("Enter")
        panel = page.get_by_role("tabpanel", name=tab.inner_text())
        panel.wait_for()
        yield panel


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_is_cut_off(page: sync_api.Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for _ in opened_tabs(page):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_role("button", name="More tabs").is_hidden()


ROLES = ("button", "checkbox", "combobox", "radio", "slider", "spinbutton", "textbox")


def test_everything_has_a_name_for_screen_readers(page: sync_api.Page) -> None:
    for panel in opened_tabs(page):
        panel.locator("button.primary").first.wait_for()
        for role in ROLES:
            found, named = panel.get_by_role(role), panel.get_by_role(role, name=re.compile(r"\w"))
            nameless = [each.evaluate("element => element.outerHTML") for each in found.all()]
            assert found.count() == named.count(), (role, nameless)


def test_main_buttons_are_reached_by_keyboard(page: sync_api.Page) -> None:
    for panel in opened_tabs(page):
        for button in panel.locator("button.primary").all():
            for _ in range(60):
                if button.evaluate("button => button === document.activeElement"):
                    break
                page.keyboard.press("Tab")
            else:
                pytest.fail(f"the keyboard does not reach {button.inner_text()!r}")


WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_rule_of_accessibility_is_broken(page: sync_api.Page, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=theme)
    page.reload()
    for panel in opened_tabs(page):
        panel.locator("button.primary").first.wait_for()
        broken = axe.run(page, options={"runOnly": WCAG}).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in broken] == []


def test_arrow_keys_go_from_tab_to_tab(page: sync_api.Page) -> None:
    tabs = page.get_by_role("tab")
    tabs.first.press("Enter")
    for key, selected in [("ArrowRight", 1), ("End", -1), ("ArrowRight", 0), ("ArrowLeft", -1)]:
        page.keyboard.press(key)
        expected = tabs.nth(selected if selected >= 0 else tabs.count() - 1)
        sync_api.expect(expected).to_have_attribute("aria-selected", "true")
        sync_api.expect(expected).to_be_focused()


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_the_first_screen_holds_the_action_of_every_tab(
    page: sync_api.Page, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    widths = set()
    for panel in opened_tabs(page):
        page.evaluate("window.scrollTo(0, 0)")
        place = panel.locator("button.primary").first.bounding_box()
        assert place is not None and place["y"] + place["height"] <= size[1]
        whole = page.locator(".main.app").first.bounding_box()
        assert whole is not None
        widths.add(round(whole["width"]))
    assert len(widths) == 1


def test_cancel_is_seen_while_something_runs(page: sync_api.Page, tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()).resize((2400, 2400)).save(tmp_path / "large.jpg")
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    assert cancel.count() == 0
    press_upscale(page, tmp_path / "large.jpg")
    page.get_by_text(re.compile("passed")).first.wait_for()
    cancel.click()
    page.get_by_text("Cancelled.").wait_for()
    sync_api.expect(cancel).to_have_count(0)
    sync_api.expect(page.get_by_text(re.compile("passed"))).to_have_count(0)


def test_a_changed_setting_marks_the_result_as_old(page: sync_api.Page, photograph: Path) -> None:
    press_upscale(page, photograph)
    page.get_by_text(f"from {SIDE} x {SIDE}").wait_for()
    old = page.get_by_text("Settings have changed since")
    assert old.count() == 0
    page.get_by_role("checkbox", name="Keep true").check()
    old.wait_for()
    page.get_by_role("button", name="Upscale", exact=True).click()
    sync_api.expect(old).to_have_count(0)


def reopened(page: sync_api.Page, address: str) -> None:
    page.goto(address)
    page.locator("[role=tablist][data-walked]").first.wait_for()


def test_settings_survive_a_reload(page: sync_api.Page, address: str) -> None:
    choose_sampler(page)
    temperature = page.get_by_role("spinbutton", name="Temperature").first
    temperature.fill("0.7")
    temperature.press("Tab")
    page.wait_for_function("localStorage['hvae-sr:upscale']?.includes('0.7')")
    reopened(page, address)
    sync_api.expect(temperature).to_have_value("0.7")
    menu = page.get_by_role("combobox", name="Model").first
    sync_api.expect(menu).to_have_value(re.compile("photo-hvae-x4"))
    page.goto(f"{address}/favicon.ico")  # where nothing keeps settings meanwhile
    foreign = '{"model": "gone", "seed": -1, "quality": "high"}'
    page.evaluate("(kept) => { localStorage['hvae-sr:upscale'] = kept; }", foreign)
    reopened(page, address)
    sync_api.expect(menu).to_have_value(re.compile("photo-cnn-x4"))


def test_a_link_names_a_tab_and_a_model(page: sync_api.Page, address: str) -> None:
    selected = page.get_by_role("tab", selected=True)
    reopened(page, f"{address}/?tab=movie&model=photo-cnn-x4")
    sync_api.expect(selected).to_have_text("Movie")
    panel = page.get_by_role("tabpanel", name="Movie")
    menu = panel.get_by_role("combobox", name="Model")
    sync_api.expect(menu).to_have_value(re.compile("photo-cnn-x4"))
    page.get_by_role("tab", name="Levels").click()
    page.wait_for_url("**/?tab=levels")
    reopened(page, f"{address}/?tab=absent&model=absent")
    sync_api.expect(selected).to_have_text("Upscale")


def test_a_batch_and_its_zip(page: sync_api.Page, photograph: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    page.get_by_role("tab", name="Batch").click()
    panel = page.get_by_role("tabpanel", name="Batch")
    files = panel.locator("input[type=file]").first
    files.set_input_files([photograph, tmp_path / "bad.png"])
    panel.get_by_text("bad").first.wait_for()  # the upload is complete
    panel.get_by_role("button", name="Upscale all").click()
    panel.get_by_text("1 of 2").wait_for()
    row = panel.get_by_role("grid").get_by_role("row").filter(has_text="bad.png")
    sync_api.expect(row.first).to_contain_text("is not an image")
    with page.expect_download() as waiting:
        panel.get_by_role("button", name="Download all as zip").click()
    assert waiting.value.suggested_filename == "2-images-photo-cnn-x4.zip"
    waiting.value.save_as(tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as bundle:
        assert bundle.namelist() == ["cat-photo-cnn-x4.png"]


def test_one_lens_over_all_answers(page: sync_api.Page, photograph: Path) -> None:
    page.get_by_role("tab", name="Compare").click()
    panel = page.get_by_role("tabpanel", name="Compare")
    panel.locator("input[type=file]").first.set_input_files(photograph)
    panel.get_by_role("button", name="Remove Image").wait_for()
    panel.get_by_role("button", name="Compare").click()
    panel.get_by_role("button", name="photo-cnn-x4 · ").wait_for()
    images = panel.locator(".thumbnail-lg img")
    size = images.first.bounding_box()
    assert size is not None and images.count() >= 3
    images.first.hover(position={"x": size["width"] / 4, "y": size["height"] / 4})
    for each in images.all():
        style = each.evaluate("e => [getComputedStyle(e).transform, e.parentElement.clientWidth]")
        assert style[0].startswith("matrix(4, 0, 0, 4")
    page.get_by_role("heading", name="hvae-sr").hover()
    sync_api.expect(panel.locator(".magnified")).to_have_count(0)


def test_a_changed_setting_marks_samples_as_old(page: sync_api.Page) -> None:
    page.get_by_role("tab", name="Samples").click()
    page.get_by_role("spinbutton", name="How many").fill("2")
    page.get_by_role("button", name="Draw samples").click()
    panel = page.get_by_role("tabpanel", name="Samples")
    panel.get_by_text(re.compile("Made by .*seed 0")).wait_for()
    old = page.get_by_text("Settings have changed since")
    assert old.count() == 0
    seed = panel.get_by_role("spinbutton", name="Seed").first
    seed.fill("5")
    seed.press("Tab")
    old.wait_for()
    seed.fill("0")  # what made the result
    seed.press("Tab")
    sync_api.expect(old).to_have_count(0)


def test_two_tabs_at_once(page: sync_api.Page, photograph: Path, address: str) -> None:
    other = page.context.new_page()
    other.set_default_timeout(PATIENCE)
    reopened(other, address)
    for each, model in ((page, "photo-hvae-x4"), (other, "photo-cnn-x2")):
        each.get_by_role("combobox", name="Model").first.click()
        each.get_by_role("option", name=model).first.click()
        press_upscale(each, photograph)
    page.get_by_text("Made by photo-hvae-x4").wait_for()
    other.get_by_text("Made by photo-cnn-x2").wait_for()
    assert natural_width(page.locator("#answer img").nth(1)) == 4 * SIDE
    assert natural_width(other.locator("#answer img").nth(1)) == 2 * SIDE


def test_a_phones_photograph_from_upload_to_download(
    page: sync_api.Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 megapixels in, 192 out: minutes of a processor, so more than all other tests here."""
    photograph = Image.fromarray(data.astronaut()).resize((4000, 3000))
    photograph.save(tmp_path / "phone.jpg", quality=95)
    minutes = 60_000
    page.set_default_timeout(15 * minutes)
    page.get_by_role("button", name="Output: size, format, quality").first.click()
    page.get_by_role("radio", name="JPEG").first.check()
    press_upscale(page, tmp_path / "phone.jpg")
    page.get_by_text(re.compile(r"\d+ s left")).first.wait_for()
    page.get_by_text("from 4000 x 3000").wait_for()
    assert natural_width(page.locator("#answer img").nth(1)) == 2048  # a reduced view
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download the image").click()
    waiting.value.save_as(tmp_path / "out.jpg")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # Pillow would take it for an attack
    with Image.open(tmp_path / "out.jpg") as result:
        assert (result.format, result.size) == ("JPEG", (16000, 12000))
