"""`/locks/`: the locks, and each with what became of it; extending, asking for a release, giving or declining one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode

from activity.errors import BadQueryError
from activity.filter_form import query_of
from activity.retrieval import check_entries
from activity.views.lines import lines_of
from locking import filters, previews, queries, services, timeline
from locking.models import LogLock
from locking.rights import ASK_RELEASE, LOCK, RELEASE, SEE, SEE_OVERRIDES
from locking.views.base import Locking, taken
from locking.views.forms import EndForm, LockListForm, ReasonForm
from locking.waiting import open_steps, release_step
from locking.wording import consequences, counted, end_words, scope_words

if TYPE_CHECKING:
    from django import forms
    from django.http import HttpRequest

    from locking.waiting import OpenStep

_PAGE = "50"
State, Kind = LogLock.State, LogLock.Kind


def shown_lock(lock: LogLock) -> dict[str, Any]:
    """Return a lock with what a list or a page says of it in words."""
    return {
        "lock": lock,
        "scope": scope_words(lock.scope),
        "ends": end_words(lock.kind, lock.until),
        "count": f"{lock.count:,}",
        "entries": counted(lock.count, "entry", "entries"),
        "progress": queries.progress(lock),
    }


class Locks(Locking):
    """The list."""

    http_method_names = ["get", "head"]
    rights = (SEE,)

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show a page of locks, the newest first."""
        query = query_of(request.GET)
        form = LockListForm(query, readable=self.readable)
        shown: dict[str, Any] = {"form": form, "is_asked": bool(set(query) - {"cursor"})}
        paged = query.copy()
        paged.setdefault("limit", _PAGE)
        try:
            page = queries.find(filters.wanted_of(paged, self.readable))
        except BadQueryError as error:
            faults = [f"{problem.path}: {problem.reason}" for problem in error.problems]
            return render(request, "locking/locks.html", shown | {"faults": faults}, status=400)
        first = query.copy()
        first.pop("cursor", None)
        further = first.copy()
        if page.next is not None:
            further["cursor"] = str(page.next)
            shown["next"] = further.urlencode()
        shown |= {
            "locks": [shown_lock(lock) for lock in page.locks],
            "query": first.urlencode(),
            "is_first": "cursor" not in query,
            "may_lock": request.user.has_perm(LOCK),
            "waiting": sum(step.waits for step in open_steps(self.person)),
        }
        return render(request, "locking/locks.html", shown)


class OpenSteps(Locking):
    """What waits for somebody."""

    http_method_names = ["get", "head"]
    rights = (SEE, SEE_OVERRIDES)

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show every open step with who must take it."""
        return render(request, "locking/open_steps.html", {"steps": open_steps(self.person)})


class OneLock(Locking):
    """One lock."""

    http_method_names = ["get", "head"]
    rights = (SEE,)

    def get(self, request: HttpRequest, lock_id: int) -> HttpResponse:
        """Show it with its timeline, some of its entries, and what may be done with it."""
        del request
        return self.page(self.seen(lock_id))

    def seen(self, lock_id: int) -> LogLock:
        """Return a lock that whoever asks may see. Raises Http404."""
        lock = queries.lock_for(self.readable, lock_id)
        if lock is None:
            raise Http404(f"there is no lock {lock_id} that you may see")
        return lock

    def page(
        self,
        lock: LogLock,
        *,
        extending: forms.Form | None = None,
        asking: forms.Form | None = None,
        declining: forms.Form | None = None,
        status: int = 200,
    ) -> HttpResponse:
        """Return the page of a lock; a form that was refused is shown as it was sent."""
        shown = shown_lock(lock) | {
            "consequences": consequences(lock.kind, lock.until) if lock.state == State.IN_FORCE else [],
            "moments": timeline.of_subject(lock),
            "lines": lines_of(check_entries(previews.held_sample(lock))),
            "in_log": _in_log(lock),
            "leaves": counted(lock.size or 0, "leaf", "leaves"),
            "root": bytes(lock.root).hex() if lock.root else "",
            "step": self._step(lock),
            "policy": queries.policy_name(lock),
        }
        is_own = lock.release_requested_by == self.person.get_username()
        shown["may_withdraw"] = shown["step"] is not None and is_own and self.request.user.has_perm(ASK_RELEASE)
        if declining or (shown["step"] is not None and shown["step"].is_yours):
            shown["declining"] = declining or ReasonForm(auto_id="decline_%s")
        if extending or self._may_extend(lock):
            shown["extending"] = extending or EndForm(auto_id="extend_%s")
        if asking or self._may_ask(lock):
            shown["asking"] = asking or ReasonForm(auto_id="ask_%s")
        return render(self.request, "locking/lock.html", shown, status=status)

    def _step(self, lock: LogLock) -> OpenStep | None:
        """Return the release that waits, with who may give it, or None."""
        waits = lock.state == State.IN_FORCE and lock.release_requested_by is not None
        return release_step(lock, self.person) if waits else None

    def _may_extend(self, lock: LogLock) -> bool:
        can_be = lock.state == State.IN_FORCE and lock.kind != Kind.HOLD and lock.until is not None
        return can_be and not lock.is_being_extended and self.request.user.has_perm(LOCK)

    def _may_ask(self, lock: LogLock) -> bool:
        can_be = lock.state == State.IN_FORCE and lock.kind != Kind.COMPLIANCE and lock.release_requested_by is None
        return can_be and self.request.user.has_perm(ASK_RELEASE)


class Progress(OneLock):
    """How far a lock was applied, as a piece of its page."""

    def get(self, request: HttpRequest, lock_id: int) -> HttpResponse:
        """Show it; have the whole page loaded again once it has changed its state."""
        lock = self.seen(lock_id)
        shown = shown_lock(lock)
        response = render(request, "locking/progress.html", shown)
        if shown["progress"] is None:
            response["HX-Refresh"] = "true"
        return response


class Extend(OneLock):
    """Making a retention last longer."""

    http_method_names = ["post"]
    rights = (LOCK,)

    def post(self, request: HttpRequest, lock_id: int) -> HttpResponse:
        """Move its end."""
        lock = self.seen(lock_id)
        form = EndForm(request.POST, auto_id="extend_%s")

        def step() -> None:
            until, reason = form.cleaned_data["until"], form.cleaned_data["reason"]
            services.extend(lock_id=lock.pk, until=until, by=self.person, reason=reason)

        if not taken(form, step):
            return self.page(lock, extending=form, status=400)
        is_done = not self.seen(lock_id).is_being_extended
        messages.success(request, f"{str(lock).capitalize()} {'was' if is_done else 'is being'} extended.")
        return redirect("lock", lock.pk)


class AskRelease(OneLock):
    """Asking for a release."""

    http_method_names = ["post"]
    rights = (ASK_RELEASE,)

    def post(self, request: HttpRequest, lock_id: int) -> HttpResponse:
        """Ask; another person gives it."""
        lock = self.seen(lock_id)
        form = ReasonForm(request.POST, auto_id="ask_%s")

        def step() -> None:
            services.request_release(lock_id=lock.pk, by=self.person, reason=form.cleaned_data["reason"])

        if not taken(form, step):
            return self.page(lock, asking=form, status=400)
        messages.success(request, "The release is asked for. Another person, with the role approver, gives it.")
        return redirect("lock", lock.pk)


class Release(OneLock):
    """Giving a release that another person asked for."""

    http_method_names = ["post"]
    rights = (RELEASE,)

    def post(self, request: HttpRequest, lock_id: int) -> HttpResponse:
        """Release it. Raises LockRefusedError."""
        lock = services.release(lock_id=self.seen(lock_id).pk, by=self.person)
        messages.success(request, f"{str(lock).capitalize()} is released. Entries that other locks hold stay locked.")
        return redirect("lock", lock.pk)


class WithdrawRelease(OneLock):
    """Taking back a request for a release."""

    http_method_names = ["post"]
    rights = (ASK_RELEASE,)

    def post(self, request: HttpRequest, lock_id: int) -> HttpResponse:
        """Withdraw what one has asked for oneself. Raises LockRefusedError."""
        lock = services.withdraw_release(lock_id=self.seen(lock_id).pk, by=self.person)
        messages.success(request, f"The request is withdrawn. {str(lock).capitalize()} holds as before.")
        return redirect("lock", lock.pk)


class DeclineRelease(OneLock):
    """Refusing a release that another person asked for."""

    http_method_names = ["post"]
    rights = (RELEASE,)

    def post(self, request: HttpRequest, lock_id: int) -> HttpResponse:
        """Decline it, with a reason."""
        lock = self.seen(lock_id)
        form = ReasonForm(request.POST, auto_id="decline_%s")

        def step() -> None:
            services.decline_release(lock_id=lock.pk, by=self.person, reason=form.cleaned_data["reason"])

        if not taken(form, step):
            return self.page(lock, declining=form, status=400)
        messages.success(request, f"The release is declined. {str(lock).capitalize()} holds as before.")
        return redirect("lock", lock.pk)


def _in_log(lock: LogLock) -> str:
    """Return the query of the list of entries that shows what a lock is for; "" where a list cannot ask so."""
    if "entries" in lock.scope or str(lock.scope.get("type", "")).endswith(".*"):
        return ""
    return urlencode({"ledger": lock.ledger.name, **lock.scope})
