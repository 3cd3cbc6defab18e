"""Locks and overrides in a real browser: one looks first, and an override goes from hand to hand to its review."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import Page

from activity.models import ActivityLog
from auditlog_project.roles import APPROVER, COMPLIANCE_OFFICER
from locking import overriding, policies, services
from locking.models import LockOverride, LockPolicy, LogLock
from tests.browser.conftest import DESKTOP, PASSWORD, PHONE, Site, accessible
from tests.locking.test_services import Scene


def _with_password(user: User, *roles: str) -> User:
    user.set_password(PASSWORD)
    user.save()
    user.groups.add(*Group.objects.filter(name__in=roles))
    return user


@pytest.fixture
def scene(site: Site) -> Scene:
    """Give ten entries, an officer and an approver who can sign in."""
    scene = Scene(site.database)
    for user in (scene.officer, scene.approver):
        _with_password(user)
    return scene


def lock_from_the_log(page: Page) -> None:
    """Filter the log, look at what a lock of it would be, and make it."""
    page.goto("/logs/")
    page.get_by_text("Filters").first.click()
    page.get_by_label("Type").fill("auth.login")
    page.get_by_role("button", name="Show entries").click()
    page.get_by_role("link", name="Lock these").click()
    page.get_by_label(re.compile("Retention, governance")).check()
    page.get_by_label("For good").check()
    page.get_by_label("Reason").fill("audit 2026")
    page.get_by_role("button", name="Show what will happen").click()
    page.get_by_role("heading", name="What will happen").wait_for()
    page.get_by_role("button", name="Lock 10 entries now").click()
    page.get_by_text("It holds 10 entries.").wait_for()


def test_entries_are_locked_from_the_log_once_one_has_looked(
    site: Site, scene: Scene, browse: Callable[..., Any]
) -> None:
    with browse("olga") as page:
        lock_from_the_log(page)
        page.goto("/logs/?type=auth.login")
        assert page.get_by_text("locked", exact=True).count() == 10
    made = LogLock.objects.get()
    assert (made.kind, made.count, made.scope, made.reason) == ("governance", 10, {"type": "auth.login"}, "audit 2026")


def test_what_is_wrong_stands_beside_its_field_and_nothing_typed_is_lost(
    site: Site, scene: Scene, browse: Callable[..., Any]
) -> None:
    with browse("olga", refusals=True) as page:
        page.goto("/locks/new/?actor=ada")
        page.get_by_label("Legal hold").check()
        page.get_by_label("For good").check()
        page.get_by_label("Case or file number").fill("C-7")
        page.get_by_role("button", name="Show what will happen").click()
        page.get_by_text("A legal hold lasts until it is released: it is given no end.").wait_for()
        page.get_by_text("This field is required.").wait_for()
        accessible(page)
        assert page.get_by_label("Case or file number").input_value() == "C-7"
        assert page.get_by_label("Legal hold").is_checked()
        assert page.get_by_label("Actor").input_value() == "ada"
    assert not LogLock.objects.exists()


def test_two_people_do_one_override_from_the_entry_to_the_review(
    site: Site, scene: Scene, browse: Callable[..., Any]
) -> None:
    scene.lock(2)
    entry = scene.ids(2)[0]
    with browse("olga") as olga, browse("anton") as anton:
        olga.goto(f"/logs/{entry}/")
        olga.get_by_role("link", name="Ask for an override").click()
        olga.get_by_label("Hours").fill("2")
        olga.get_by_label("Reason").fill("a court says so")
        olga.get_by_role("button", name="Ask for it").click()
        olga.get_by_text("To be decided by anton.").wait_for()
        assert olga.get_by_role("button", name="Record the decision").count() == 0

        anton.goto("/")  # where it waits for him
        anton.get_by_text("waits for you").wait_for()
        anton.get_by_role("link", name="Decide").click()
        anton.get_by_label(re.compile("Approve")).check()
        anton.get_by_label("Reason").fill("I have seen the order of the court")
        anton.get_by_role("button", name="Record the decision").click()
        anton.get_by_text("runs from now on").wait_for()

        answer = amended(olga, entry)
        assert answer["revision"] == 2
        olga.goto(f"/overrides/{LockOverride.objects.get().pk}/")
        olga.get_by_role("button", name="Close it now").click()
        olga.get_by_text("To be reviewed by anton.").wait_for()

        anton.goto("/")
        anton.get_by_role("link", name="Review").click()
        anton.get_by_label("What you found").fill("the target was put right, nothing else")
        anton.get_by_role("button", name="Sign it off").click()
        anton.get_by_text("is reviewed.").wait_for()
        olga.goto(f"/logs/{entry}/")
        olga.get_by_text("under override").wait_for()
        olga.goto("/locks/open/")
        olga.get_by_text("Nothing is open.").wait_for()
    made = LockOverride.objects.get()
    assert (made.state, made.requested_by, made.decided_by, made.reviewed_by, made.used_count) == (
        "closed", "olga", "anton", "anton", 1,
    )  # fmt: skip
    assert scene.entry(2).target == "the right one"


def amended(page: Page, entry: str) -> Any:
    """Amend an entry through the API with the session of a page, and return the answer."""
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    change = {"reason": "put right", "changes": {"target": "the right one"}}
    headers = {"X-CSRFToken": cookies["csrftoken"], "Referer": page.url}
    answer = page.request.patch(f"/api/v1/logs/{entry}", data=change, headers=headers)
    assert answer.ok, answer.text()
    return page.request.get(f"/api/v1/logs/{entry}").json()


def test_two_people_release_a_lock(site: Site, scene: Scene, browse: Callable[..., Any]) -> None:
    made = scene.lock(2, kind="hold")
    with browse("olga") as olga, browse("anton") as anton:
        olga.goto(f"/locks/{made.pk}/")
        olga.locator("#ask_reason").fill("the case is closed")
        olga.get_by_role("button", name="Ask for the release").click()
        olga.get_by_text("To be released by anton.").wait_for()
        anton.goto("/")
        anton.get_by_role("link", name="Look and decide").click()
        anton.get_by_role("button", name=f"Release lock {made.pk}").click()
        anton.get_by_text("is released").first.wait_for()
    assert not ActivityLog.objects.filter(locked=True).exists()


def test_a_release_is_declined_asked_for_again_and_withdrawn(
    site: Site, scene: Scene, browse: Callable[..., Any]
) -> None:
    made = scene.lock(2, kind="hold")
    with browse("olga") as olga, browse("anton") as anton:
        for reason in ("the case is closed", "it is closed now"):
            olga.goto(f"/locks/{made.pk}/")
            olga.locator("#ask_reason").fill(reason)
            olga.get_by_role("button", name="Ask for the release").click()
            olga.get_by_text("To be released by anton.").wait_for()
            if reason == "the case is closed":
                anton.goto(f"/locks/{made.pk}/")
                anton.locator("#decline_reason").fill("the appeal is open")
                anton.get_by_role("button", name="Decline it").click()
                anton.get_by_text("The release is declined.").wait_for()
        olga.get_by_role("button", name="Withdraw the request").click()
        olga.get_by_text("The request is withdrawn.").wait_for()
        accessible(olga)
    made.refresh_from_db()
    assert (made.state, made.release_requested_by, made.declined_by) == ("in_force", None, "anton")


def test_a_lock_that_is_being_applied_is_followed_without_reloading(
    site: Site, scene: Scene, browse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "CHUNK", 2)
    made = services.lock(ledger="activity", scope={"leaf_from": 0}, kind="governance", reason="r", by=scene.officer)
    assert made.state == "applying"
    with browse("olga") as page:
        page.goto(f"/locks/{made.pk}/")
        page.get_by_role("progressbar").wait_for()
        services.advance(lock_id=made.pk, chunks=1_000)
        page.get_by_text("In force since").wait_for()


def test_an_approver_enables_a_policy_after_its_dry_run(site: Site, scene: Scene, browse: Callable[..., Any]) -> None:
    with browse("anton") as page:
        page.goto("/admin/locking/lockpolicy/")
        page.get_by_role("link", name="Set a policy").click()
        page.get_by_label("Name", exact=True).fill("yearly")
        page.get_by_label("Each time the ledger has grown").check()
        page.get_by_label("So many entries", exact=True).fill("1")
        page.get_by_label("Only of this type").fill("auth.*")
        page.get_by_label("retention (governance)").check()
        page.get_by_label("Reason").fill("the rules")
        assert page.get_by_role("button", name="Save and enable").count() == 0
        page.get_by_role("button", name="Dry run").click()
        page.get_by_text("It would lock 10 entries now").wait_for()
        accessible(page)
        page.get_by_role("button", name="Save and enable").click()
        page.get_by_text("The policy yearly is enabled.").wait_for()
    assert policies.run_all() == 1
    assert LogLock.objects.get().count == 10


def test_chosen_entries_are_locked_from_the_admin(site: Site, scene: Scene, browse: Callable[..., Any]) -> None:
    with browse("olga") as page:
        page.goto("/admin/activity/activitylog/?type=auth.login")
        for number in (0, 1):
            page.locator("input[type=checkbox][name=entry]").nth(number).check()
        page.get_by_role("button", name="Lock the chosen ones").click()
        page.get_by_text("2 entries, chosen one by one.").wait_for()
        page.get_by_label("Legal hold").check()
        page.get_by_label("Reason").fill("litigation")
        page.get_by_role("button", name="Show what will happen").click()
        page.get_by_role("button", name="Lock 2 entries now").click()
        page.get_by_text("It holds 2 entries.").wait_for()
    assert ActivityLog.objects.filter(locked=True).count() == 2


def test_every_page_is_accessible_wide_and_light_narrow_and_dark(
    site: Site, scene: Scene, browse: Callable[..., Any]
) -> None:
    _with_password(scene.officer, APPROVER)
    _with_password(scene.approver, COMPLIANCE_OFFICER)
    pages = everything(scene)
    with browse("anton") as page:
        for size, colours in ((DESKTOP, "light"), (PHONE, "dark")):
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=colours)
            for address in pages:
                shown = page.goto(address)
                assert shown is not None
                assert shown.ok, address
                page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
                accessible(page)


def everything(scene: Scene) -> list[str]:
    """Make locks and overrides in every state and return the addresses of all pages about them."""
    lock = scene.lock(2, 3, case_reference="C-7")
    asked = scene.lock(4, kind="hold")
    services.request_release(lock_id=asked.pk, by=scene.officer, reason="over")
    services.decline_release(lock_id=asked.pk, by=scene.approver, reason="not yet")
    services.request_release(lock_id=asked.pk, by=scene.officer, reason="now it is")
    waiting, running, ended = scene.override(2), scene.approve(scene.override(3)), scene.override(2)
    scene.approve(ended)
    scene.amend(2)
    overriding.close_override(override_id=ended.pk, by=scene.officer)
    policies.set_policy(
        name="yearly", ledger="activity", rule={"kind": "age", "days": 365}, scope={"type": "auth.*"},
        kind="compliance", lock_days=2190, by=scene.approver, reason="the rules",
    )  # fmt: skip
    policy = f"/admin/locking/lockpolicy/{LockPolicy.objects.get().pk}"
    return [
        "/locks/", "/locks/?state=released", "/locks/open/", "/locks/new/", "/locks/new/?type=auth.login",
        f"/locks/new/?entry={scene.ids(5)[0]}", f"/locks/{lock.pk}/", f"/locks/{asked.pk}/",
        "/overrides/", "/overrides/new/", *(f"/overrides/{made.pk}/" for made in (waiting, running, ended)),
        f"/logs/{scene.ids(2)[0]}/", f"/logs/{scene.ids(3)[0]}/", "/logs/",
        "/admin/locking/loglock/", f"/admin/locking/loglock/{lock.pk}/change/",
        "/admin/locking/lockoverride/", f"/admin/locking/lockoverride/{waiting.pk}/change/",
        "/admin/locking/lockpolicy/", "/admin/locking/lockpolicy/add/", f"{policy}/change/", f"{policy}/set/",
        f"{policy}/enable/", "/admin/", "/admin/activity/activitylog/",
    ]  # fmt: skip
