"""Forms of lock policies. A rule is chosen and filled with what it needs; the fields of other rules are not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms

from activity.event import OUTCOMES, SEVERITIES
from locking import policies, scopes
from locking.errors import LockRefusedError
from locking.models import LockPolicy, LogLock
from locking.wording import sentence
from signing.admin.steps import ReasonForm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.forms import BoundField

RULES = [
    ("age", "So many days after an entry was recorded"),
    ("period", "So many days after the end of the month or quarter in which it was recorded"),
    ("event", "When an entry of one type arrives from named sources, such as audit.completed: all that came before it"),
    ("count", "Each time the ledger has grown by so many entries"),
]
_ANY = ("", "any")
_FILTERS = ("type", "severity", "source", "outcome", "actor", "action", "target", "ip")


class PolicyForm(forms.Form):
    """Everything that a policy is, and why it is set so."""

    use_required_attribute = False

    name = forms.CharField(
        max_length=policies.MAX_NAME, help_text="Its name for good. It stands in each lock's reason."
    )
    ledger = forms.ChoiceField(help_text="It locks in this ledger alone.")
    rule = forms.ChoiceField(label="Rule", choices=RULES, widget=forms.RadioSelect)
    days = forms.IntegerField(required=False, label="Days", help_text="0 to 36,500, from 0 o'clock UTC on.")
    period = forms.ChoiceField(
        required=False,
        choices=[("", "choose"), ("month", "month"), ("quarter", "quarter")],
    )
    event_type = forms.CharField(
        required=False, label="Type of the event", help_text="One type, as in audit.completed."
    )
    sources = forms.CharField(
        required=False,
        label="Sources that it obeys",
        widget=forms.Textarea({"rows": 2}),
        help_text="One a line. An event of any other source locks nothing.",
    )
    entries = forms.IntegerField(required=False, label="So many entries")
    type = forms.CharField(
        required=False,
        label="Only of this type",
        help_text="Exactly, as in auth.login, or all that begin so, as in auth.*. Without a filter: every entry.",
    )
    severity = forms.ChoiceField(
        required=False, label="Only of this severity", choices=[_ANY, *((one, one) for one in SEVERITIES)]
    )
    source = forms.CharField(required=False, label="Only of this source")
    outcome = forms.ChoiceField(
        required=False, label="Only with this outcome", choices=[_ANY, *((one, one) for one in OUTCOMES)]
    )
    actor = forms.CharField(required=False, label="Only by this actor")
    action = forms.CharField(required=False, label="Only this action")
    target = forms.CharField(required=False, label="Only about this target")
    ip = forms.CharField(required=False, label="Only from this IP address")
    kind = forms.ChoiceField(label="Kind of its locks", choices=LogLock.Kind.choices, widget=forms.RadioSelect)
    lock_days = forms.IntegerField(
        required=False,
        label="Its locks last, in days",
        help_text="Empty: for good. A legal hold lasts until two people release it, and is given no days.",
    )
    reason = ReasonForm.base_fields["reason"]
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: object, readable: Iterable[str], policy: LockPolicy | None, **kwargs: object) -> None:
        """Offer the granted ledgers; of a policy that is there, keep name and ledger, for they are what it is."""
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # Form's own
        self._policy = policy
        ledger: Any = self.fields["ledger"]
        ledger.choices = [(one, one) for one in sorted(readable)]
        if policy is not None:
            for name in ("name", "ledger"):
                self.fields[name].disabled = True
                self.fields[name].help_text = "It stays: set another policy and disable this one."
            self.initial = {**_initial(policy), **self.initial}

    def parts(self) -> list[tuple[str, list[tuple[BoundField, str]]]]:
        """Return the fields by heading, each with the classes of the rules that need it, for console.css."""
        return [
            (heading, [(self[name], " ".join(f"al-for-{rule}" for rule in _NEEDED_BY.get(name, ()))) for name in names])
            for heading, names in _PARTS
        ]

    def clean_name(self) -> str:
        """Refuse the name of a policy that is there: to set that one anew, one goes to its page."""
        name: str = self.cleaned_data["name"]
        if self._policy is None and LockPolicy.objects.filter(name=name).exists():
            raise forms.ValidationError("There is a policy of this name. Change it on its own page.")
        return name

    def clean(self) -> dict[str, Any]:
        """Refuse here what the service would refuse, beside the field that is wrong."""
        cleaned = super().clean() or {}
        self._require_rule(cleaned)
        self._require_scope(cleaned)
        if cleaned.get("kind") == LogLock.Kind.HOLD and cleaned.get("lock_days") is not None:
            self.add_error("lock_days", "A legal hold lasts until it is released: leave this empty.")
        elif cleaned.get("lock_days") is not None and not 1 <= cleaned["lock_days"] <= policies.MAX_DAYS:
            self.add_error("lock_days", f"Its locks last 1 to {policies.MAX_DAYS:,} days, or for good.")
        return cleaned

    def _require_rule(self, cleaned: dict[str, Any]) -> None:
        kind = cleaned.get("rule")
        if kind is None or any(field in self.errors for field in _NEEDS[kind].values()):
            return
        missing = [field for field in _NEEDS[kind].values() if cleaned.get(field) in (None, "")]
        for field in missing:
            self.add_error(field, "This rule needs it.")
        if missing:
            return
        for name, field in _NEEDS[kind].items():
            try:
                policies.CHECKS[name](_member(name, cleaned[field]))
            except LockRefusedError as error:
                self.add_error(field, sentence(error))

    def _require_scope(self, cleaned: dict[str, Any]) -> None:
        for name in _FILTERS:
            if cleaned.get(name):
                try:
                    scopes.checked({name: cleaned[name]})
                except LockRefusedError as error:
                    self.add_error(name, sentence(error))

    def said(self) -> dict[str, Any]:
        """Return the policy as policies.set_policy takes it, but for who, why and whether it is enabled."""
        cleaned = self.cleaned_data
        kind = cleaned["rule"]
        rule = {"kind": kind} | {name: _member(name, cleaned[field]) for name, field in _NEEDS[kind].items()}
        # What the form has no field for stays as somebody set it elsewhere.
        kept = {} if self._policy is None else {n: v for n, v in self._policy.scope.items() if n not in _FILTERS}
        return {
            "name": cleaned["name"],
            "ledger": cleaned["ledger"],
            "rule": rule,
            "scope": scopes.filter_of(kept | {name: cleaned[name] for name in _FILTERS if cleaned[name]}),
            "kind": cleaned["kind"],
            "lock_days": cleaned["lock_days"],
        }


class SwitchForm(ReasonForm):
    """Why a policy is enabled or disabled, and that its dry run was seen."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)


# By rule: its members, and the fields that fill them.
_NEEDS: dict[str, dict[str, str]] = {
    "age": {"days": "days"},
    "period": {"period": "period", "days": "days"},
    "event": {"type": "event_type", "sources": "sources"},
    "count": {"entries": "entries"},
}
_NEEDED_BY = {
    field: [rule for rule, needs in _NEEDS.items() if field in needs.values()]
    for field in ("days", "period", "event_type", "sources", "entries")
}
_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Which policy", ("name", "ledger")),
    ("When it locks", ("rule", "period", "days", "event_type", "sources", "entries")),
    ("Which entries: all that match, or every one", _FILTERS),
    ("What its locks are", ("kind", "lock_days")),
    ("Why", ("reason",)),
)


def _member(name: str, value: Any) -> Any:
    return [one.strip() for one in value.splitlines() if one.strip()] if name == "sources" else value


def said_of(policy: LockPolicy) -> dict[str, Any]:
    """Return a policy that is there, as `said` does."""
    return {
        "name": policy.name,
        "ledger": policy.ledger.name,
        "rule": policy.rule,
        "scope": policy.scope,
        "kind": policy.kind,
        "lock_days": policy.lock_days,
    }


def _initial(policy: LockPolicy) -> dict[str, Any]:
    rule = policy.rule
    filled = {field: rule[name] for name, field in _NEEDS[rule["kind"]].items()}
    if "sources" in filled:
        filled["sources"] = "\n".join(filled["sources"])
    filters = {name: policy.scope[name] for name in _FILTERS if name in policy.scope}
    return filters | filled | said_of(policy) | {"rule": rule["kind"]}
