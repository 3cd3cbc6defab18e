"""What stands in the bar of every page, by what a person may do; and where the start leads.

A page of another app gets a line in LINKS; the address is the name of its URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from activity.access import READ_PERMISSION
from exports.services import ORDER_PERMISSION
from locking.rights import LOCK, SEE, SEE_OVERRIDES
from locking.waiting import open_steps

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


SIGNED_IN = "signed in"


class Link(NamedTuple):
    """A page, and the permission without which its link is not shown; "" is for everybody, SIGNED_IN for people."""

    title: str
    url_name: str
    permission: str


class Action(NamedTuple):
    """What can be done with the entries that a list shows; the list adds its filters to the address.

    `one` is its title on the page of one entry, `chosen` for entries that were chosen one by one (?entry=ID), "" if it
    takes none.
    """

    title: str
    one: str
    url_name: str
    permission: str
    chosen: str = ""


LINKS = (
    Link("Logs", "logs", READ_PERMISSION),
    Link("Exports", "exports", ORDER_PERMISSION),
    Link("Locks", "locks", SEE),
    Link("Overrides", "overrides", SEE_OVERRIDES),
    Link("Verify", "verify", ""),
    Link("Accesses", "meta-logs", SIGNED_IN),
)
ACTIONS = (
    Action("Export these", "Export this entry", "order-export", ORDER_PERMISSION, "Export the chosen ones"),
    Action("Lock these", "Lock this entry", "lock-entries", LOCK, "Lock the chosen ones"),
)


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Give templates the links of whoever asks. A context processor."""
    user = getattr(request, "user", None)
    if user is None:
        return {}
    shown = [
        {"title": link.title, "url": url, "here": request.path.startswith(url)}
        for link in LINKS
        if not link.permission or _may_follow(user, link.permission)
        for url in [reverse(link.url_name)]
    ]
    if user.is_staff:
        shown.append({"title": "Administration", "url": reverse("admin:index"), "here": False})
    actions = [
        {"title": action.title, "one": action.one, "url": reverse(action.url_name), "chosen": action.chosen}
        for action in ACTIONS
        if user.has_perm(action.permission)
    ]
    return {"navigation": shown, "list_actions": actions, "can_choose": any(action["chosen"] for action in actions)}


def _may_follow(user: Any, permission: str) -> bool:
    return bool(user.is_authenticated if permission == SIGNED_IN else user.has_perm(permission))


@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Lead everybody to the page that is his; first to what waits for a second person, where he may see it."""
    if any(step.waits for step in open_steps(request.user)):
        return redirect("open-steps")
    if request.user.has_perm(READ_PERMISSION):
        return redirect("logs")
    if not request.user.is_authenticated:
        return redirect("login")
    return redirect("admin:index" if request.user.is_staff else "verify")
