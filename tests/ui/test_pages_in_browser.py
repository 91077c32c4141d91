"""The page in Airflow's own web interface, in headless Chromium."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow.api_fastapi", reason="the page needs Airflow 3")
pytest.importorskip("playwright", reason="playwright is not installed: no test in a browser")

from support.airflow_pages import SAMPLE_RUN
from support.airflow_site import PASSWORDS, chromium, log_in, open_browser

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium is installed: no test in a browser")

WARNING_OF_AIRFLOW = "An iframe which has both allow-scripts and allow-same-origin"


@pytest.fixture(scope="module")
def browser():
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def logins(browser, site):
    """The cookies of each user after the login."""
    cookies = {}
    for user in PASSWORDS:
        context = browser.new_context()
        log_in(context.new_page(), site, user)
        cookies[user] = context.storage_state()
        context.close()
    return cookies


@pytest.fixture
def open_page(browser, site, logins):
    """Open a page of a user, which notes what its console says."""
    contexts = []

    def open_one(user="admin", **options):
        contexts.append(browser.new_context(base_url=site.url, storage_state=logins[user], **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.problems = []
        page.on("console", lambda message: page.problems.append(message.text) if _is_problem(message) else None)
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        return page

    yield open_one
    for context in contexts:
        context.close()


def _is_problem(message):
    return message.type in ("error", "warning") and not message.text.startswith(WARNING_OF_AIRFLOW)


def facts(frame):
    frame.locator(".facts, .empty").first.wait_for()
    return dict(zip(frame.locator("dt").all_inner_texts(), frame.locator("dd").all_inner_texts(), strict=True))


def test_the_page_opens_from_the_navigation(open_page):
    page = open_page()
    page.goto("/")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Adobe Target").click()
    found = facts(page.frame_locator("iframe"))
    assert (found["Runs"], found["Rows sent"]) == ("3", "1,140")
    assert page.problems == []


def test_the_tab_of_a_dag_shows_its_runs(open_page):
    page = open_page()
    page.goto("/dags/cdnow_daily")
    page.get_by_role("link", name="Adobe Target").click()
    found = facts(page.frame_locator("iframe"))
    assert (found["Runs"], found["Rows sent"]) == ("1", "100")
    assert page.problems == []


def test_the_tab_of_a_task_instance_has_the_numbers_of_the_sandbox(open_page, site):
    page = open_page()
    page.goto(site.run_link)
    frame = page.frame_locator("iframe")
    frame.get_by_text(site.batch_id).wait_for()
    found = facts(frame)
    assert (found["Rows sent"], found["Updated"]) == (str(site.profiles), str(site.profiles))
    assert (found["Rejected rows"], found["Calls"]) == ("3", str(site.calls))
    assert page.problems == []


def test_a_run_links_to_its_details_in_the_browser(open_page):
    page = open_page()
    page.goto("/plugin/adobe-target")
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name="Details of cdnow_daily upload").click()
    frame.get_by_role("heading", name="Batches").wait_for()
    assert facts(frame)["Waited for the budget"] == "1 min 01 s"
    frame.get_by_role("link", name="Open the task").click()
    page.wait_for_url(f"**/dags/cdnow_daily/runs/{SAMPLE_RUN}/tasks/upload**")


def test_filters_apply(open_page):
    page = open_page()
    page.goto("/plugin/adobe-target")
    frame = page.frame_locator("iframe")
    frame.get_by_label("Account").select_option("globex")
    frame.get_by_role("button", name="Apply").click()
    frame.get_by_role("link", name="Details of cdnow_daily upload").wait_for(state="detached")
    assert facts(frame)["Rows sent"] == "1,000"


def test_a_user_does_not_see_runs_of_other_dags(open_page):
    page = open_page("limited")
    page.goto("/plugin/adobe-target")
    frame = page.frame_locator("iframe")
    assert facts(frame)["Runs"] == "1"
    assert "loyalty" not in frame.locator("body").inner_text()
    assert "globex" not in frame.locator("body").inner_text()
    assert page.request.get("/adobe-target/?dag_id=loyalty").status == 403
    assert page.request.get("/adobe-target/api/runs").json()["total"] == 1


def test_without_a_login_nothing_is_shown(browser, site):
    context = browser.new_context(base_url=site.url)
    for path in ("", "attributes", "run", "runs.csv", "api/runs"):
        response = context.request.get(f"/adobe-target/{path}")
        assert response.status == 401
        assert "cdnow" not in response.text()
    context.close()


def test_the_csv_can_be_downloaded(open_page):
    page = open_page()
    page.goto("/plugin/adobe-target")
    with page.expect_download() as download:
        page.frame_locator("iframe").get_by_role("link", name="Download CSV").click()
    assert download.value.suggested_filename == "adobe-target-runs.csv"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_follows_airflow(open_page, theme):
    page = open_page()
    page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page.goto("/plugin/adobe-target")
    body = page.frame_locator("iframe").locator("body")
    body.locator(".facts").wait_for()
    colour = body.evaluate("element => getComputedStyle(element).color")
    assert colour == {"light": "rgb(24, 24, 27)", "dark": "rgb(244, 244, 245)"}[theme]


@pytest.mark.parametrize("path", ["", "attributes", f"run?dag_id=cdnow_daily&task_id=upload&run_id={SAMPLE_RUN}"])
def test_a_phone_needs_no_horizontal_scrolling(open_page, path):
    page = open_page(viewport={"width": 318, "height": 700})
    page.goto(f"/adobe-target/{path}")
    page.locator("main").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 318


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", ["", "attributes", f"run?dag_id=cdnow_daily&task_id=upload&run_id={SAMPLE_RUN}"])
def test_axe_finds_nothing_serious(open_page, path, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page()
    page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page.goto(f"/adobe-target/{path}")
    page.locator("main").wait_for()
    found = axe.Axe().run(page).response["violations"]
    assert [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")] == []


def test_the_keyboard_reaches_filters_runs_and_tables(open_page):
    page = open_page()
    page.goto("/adobe-target/")
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName + ' ' + document.activeElement.className"))
    assert {"A skip", "SELECT ", "BUTTON ", "SUMMARY ", "DIV scroll", "A button"} <= reached
