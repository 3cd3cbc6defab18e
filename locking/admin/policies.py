"""Lock policies: set, enabled and disabled here, each with a reason, and enabled only after a dry run was seen.

    add/              a new one
    POLICY/set/       set anew
    POLICY/enable/    with its dry run
    POLICY/disable/

A step is done by the approver's role after its record was committed, so that no page of these runs in a transaction:
Django's own forms, which have one, are not used.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from activity.retrieval import check_entries
from activity.views.lines import lines_of
from locking import policies, queries, rights, seen
from locking.admin.policy_forms import PolicyForm, SwitchForm, said_of
from locking.admin.rows import LockingAdmin
from locking.errors import LockNotFoundError, LockRefusedError
from locking.models import LockPolicy, LogLock
from locking.wording import consequences, counted, last_words, rule_words, scope_words
from signing.admin.pages import Link, Section, badge
from signing.admin.steps import posted, step_page, step_urls, taken

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

    from locking.previews import Preview

_LIST = "admin:locking_lockpolicy_changelist"
_LOCKS = 20  # that a policy's page names
_REFUSALS = (LockRefusedError, LockNotFoundError)


@admin.register(LockPolicy)
class PolicyAdmin(LockingAdmin):
    """The list, and the steps of each."""

    add_label = "Set a policy"
    list_display = ("name", "rule_shown", "scope_shown", "kind", "lasts", "enabled_shown")
    list_filter = ("enabled", "kind")
    list_select_related = ("ledger",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the policies of the granted ledgers."""
        return queries.policies_in(self.readable(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow whoever may set policies."""
        return bool(request.user.has_perm(rights.SET_POLICY))

    @admin.display(description="locks")
    def rule_shown(self, policy: LockPolicy) -> str:
        """Return its rule in words."""
        return rule_words(policy.rule)

    @admin.display(description="what")
    def scope_shown(self, policy: LockPolicy) -> str:
        """Return its filter in words."""
        return f"{scope_words(policy.scope)} in {policy.ledger.name}"

    def lasts(self, policy: LockPolicy) -> str:
        """Return how long its locks last."""
        return last_words(policy.kind, policy.lock_days)

    @admin.display(description="state")
    def enabled_shown(self, policy: LockPolicy) -> SafeString:
        """Return whether it locks."""
        return badge("enabled" if policy.enabled else "disabled")

    def get_urls(self) -> list[URLPattern]:
        """Add a page for each step."""
        steps = {"set": self._set, "enable": self._enable, "disable": self._disable}
        return [*step_urls(self, steps, may=self.has_add_permission), *super().get_urls()]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Set a new policy."""
        del form_url, extra_context
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._form_page(request, None)

    def _set(self, request: HttpRequest, policy: LockPolicy) -> HttpResponse:
        return self._form_page(request, policy)

    def _form_page(self, request: HttpRequest, policy: LockPolicy | None) -> HttpResponse:
        """Show the form; its buttons show a dry run, save, or enable what was seen in one."""
        form = PolicyForm(posted(request), readable=self.readable(request), policy=policy)
        found, said = None, {}
        # What is enabled stays so when it is set anew: then, too, the dry run comes first.
        enables = "enable" in request.POST or (policy is not None and policy.enabled)
        is_meant = "enable" in request.POST or "save" in request.POST
        if form.is_valid():
            said = form.said()
            is_seen = seen.is_seen(form.cleaned_data["seen"], by=_name(request), what=said)
            if not is_meant or (enables and not is_seen):
                found = _tried(form, said)
            elif taken(form, lambda: self._save(request, form, said, enabled=enables), _REFUSALS):
                return self._done(request, said["name"], "enabled" if enables else "saved, and locks nothing yet")
        return step_page(
            self,
            request,
            title="Set a lock policy" if policy is None else f"Set {policy} anew",
            form=form,
            consequences=[],
            button="Dry run",
            cancel=reverse(_LIST),
            template="admin/locking/lockpolicy/form.html",
            policy=policy,
            was_not_seen=found is not None and is_meant,
            changes=_changes(policy, said) if found is not None and policy is not None else [],
            **_dry_run(request, found, said),
        )

    def _save(self, request: HttpRequest, form: Any, said: dict[str, Any], *, enabled: bool) -> None:
        policies.set_policy(**said, by=_person(request), reason=form.cleaned_data["reason"], enabled=enabled)

    def _enable(self, request: HttpRequest, policy: LockPolicy) -> HttpResponse:
        form, said = SwitchForm(posted(request)), said_of(policy)
        if form.is_valid():
            if not seen.is_seen(form.cleaned_data["seen"], by=_name(request), what=said):
                form.add_error(
                    None, "This is not the dry run that you had looked at, or it is an hour old: look again."
                )
            elif taken(form, lambda: self._save(request, form, said, enabled=True), _REFUSALS):
                return self._done(request, policy.name, "enabled")
        return step_page(
            self,
            request,
            title=f"Enable {policy}",
            form=form,
            consequences=_what_it_does(policy.rule, policy.kind, policy.lock_days),
            button="Enable",
            cancel=_address(policy),
            template="admin/locking/lockpolicy/switch.html",
            **_dry_run(request, _tried(form, said), said),
        )

    def _disable(self, request: HttpRequest, policy: LockPolicy) -> HttpResponse:
        form, said = SwitchForm(posted(request)), said_of(policy)
        if form.is_valid() and taken(form, lambda: self._save(request, form, said, enabled=False), _REFUSALS):
            return self._done(request, policy.name, "disabled")
        return step_page(
            self,
            request,
            title=f"Disable {policy}",
            form=form,
            consequences=[
                "It locks nothing any more, and deadlines that it wrote on entries are taken away.",
                "What is past one stays locked: what is in no lock of it yet, up to a day of entries, is locked now.",
                "Locks that it made stay until their own end.",
            ],
            button="Disable",
            cancel=_address(policy),
            danger=True,
        )

    def _done(self, request: HttpRequest, name: str, what: str) -> HttpResponse:
        messages.success(request, f"The policy {name} is {what}.")
        return HttpResponseRedirect(_address(LockPolicy.objects.get(name=name)))

    def sections(self, request: HttpRequest, found: LockPolicy) -> list[Section]:
        """Return what it does, who set it, and the locks that it made."""
        del request
        facts: list[tuple[str, object]] = [
            ("State", self.enabled_shown(found)),
            ("Locks", rule_words(found.rule)),
            ("What", scope_words(found.scope)),
            ("Ledger", found.ledger.name),
            ("Kind", found.get_kind_display()),
            ("Its locks last", last_words(found.kind, found.lock_days)),
            ("Set by", found.set_by),
            ("Set", found.set_at),
            ("Has come to leaf", f"{found.next_leaf:,}"),
        ]
        made = LogLock.objects.filter(policy_id=found.pk).order_by("-pk")[:_LOCKS]
        locks = [(str(lock).capitalize(), _lock_line(lock)) for lock in made]
        return [Section("Policy", facts), Section("Its latest locks", locks or [("None", "It has made none yet.")])]

    def links(self, request: HttpRequest, found: LockPolicy) -> list[Link]:
        """Lead to the steps that can be taken now."""
        if not self.has_add_permission(request):
            return []
        switch = ("disable", "Disable") if found.enabled else ("enable", "Enable")
        return [
            Link(label, reverse(f"admin:locking_lockpolicy_{name}", args=[quote(found.pk)]), danger=name == "disable")
            for name, label in (("set", "Set anew"), switch)
        ]


def _tried(form: Any, said: dict[str, Any]) -> Preview | None:
    """Return the dry run, or None if it was refused, which then stands on the form."""
    try:
        return policies.dry_run(ledger=said["ledger"], rule=said["rule"], scope=said["scope"])
    except LockRefusedError as error:
        form.add_error(None, str(error))
        return None


def _dry_run(request: HttpRequest, found: Preview | None, said: dict[str, Any]) -> dict[str, Any]:
    """Return what the templates show of a dry run, with the seal that it was seen."""
    if found is None:
        return {}
    return {
        "found": found,
        "rows": lines_of(check_entries(found.sample)),
        "seal": seen.seal(by=_name(request), what=said),
        "rule_words": rule_words(said["rule"]),
        "waits_for_event": said["rule"]["kind"] == "event",
        "scope_words": scope_words(said["scope"]),
        "sentences": _what_it_does(said["rule"], said["kind"], said["lock_days"]),
    }


def _changes(policy: LockPolicy, said: dict[str, Any]) -> list[str]:
    """Return what would not be as it is now."""
    was, new = _words(said_of(policy)), _words(said)
    return [f"{label}: {new[label]}. Until now: {was[label]}." for label in new if new[label] != was[label]]


def _words(said: dict[str, Any]) -> dict[str, str]:
    return {
        "It locks": rule_words(said["rule"]),
        "Which entries": scope_words(said["scope"]),
        "Kind of its locks": LogLock.Kind(said["kind"]).label,
        "Its locks last": last_words(said["kind"], said["lock_days"]),
    }


def _what_it_does(rule: dict[str, Any], kind: str, lock_days: int | None) -> list[str]:
    said = [f"Enabled, it locks {rule_words(rule)}. A beat looks every minute; one that is missed loses nothing."]
    if rule["kind"] in {"age", "period"}:
        said.append("The database obeys the deadline even where no worker runs.")
    said.append(f"Each of its locks lasts {last_words(kind, lock_days)}.")
    ends = None if lock_days is None else datetime.now(UTC) + timedelta(days=lock_days)
    return [*said, *consequences(kind, ends)[1:]]


def _lock_line(lock: LogLock) -> SafeString:
    address = reverse("admin:locking_loglock_change", args=[lock.pk])
    entries = counted(lock.count, "entry", "entries")
    return format_html('<a href="{}">{}, {}</a>', address, entries, lock.get_state_display())


def _address(policy: LockPolicy) -> str:
    return reverse("admin:locking_lockpolicy_change", args=[quote(policy.pk)])


def _person(request: HttpRequest) -> User:
    user: Any = request.user
    return user  # type: ignore[no-any-return] # the admin's own views let in accounts alone


def _name(request: HttpRequest) -> str:
    return _person(request).get_username()
