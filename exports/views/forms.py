"""Forms of exports: an order, and the steps of a person's export key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms

from exports.models import Export
from exports.services import MAX_CASE, MAX_PURPOSE
from signing.certificates import EXPORT_ALGORITHMS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from signing.models import ExportCertificate

_MAX_FILE = 1_000_000  # bytes of a certificate or PKCS#12 file
_ALGORITHMS = {"ES256": "ECDSA P-256", "RS256": "RSA 3072"}


class OrderForm(forms.Form):
    """What is ordered beside the filters."""

    use_required_attribute = False

    purpose = forms.CharField(
        label="Purpose",
        max_length=MAX_PURPOSE,
        help_text="Why this is exported. It stands on the first page, under your signature.",
        widget=forms.Textarea({"rows": 2, "class": "prose"}),
    )
    case = forms.CharField(label="Case or file number", max_length=MAX_CASE, required=False)

    def __init__(self, *args: object, readable: Iterable[str], formats: Collection[str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # Form's own
        offered = [choice for choice in Export.Format.choices if choice[0] in formats]
        self.fields["formats"] = forms.MultipleChoiceField(
            label="Formats", choices=offered, widget=forms.CheckboxSelectMultiple
        )
        self.offer(*sorted(readable))

    def offer(self, *ledgers: str) -> None:
        """Let only these ledgers be chosen."""
        self.fields["ledger"] = forms.ChoiceField(label="Ledger", choices=[(one, one) for one in ledgers])


class KeyForm(forms.Form):
    """Why somebody does something with his export key; recorded for ever."""

    use_required_attribute = False

    reason = forms.CharField(label="Reason", max_length=500, help_text="Recorded with your name, for good.")


class NewKeyForm(KeyForm):
    """A new key, certified here or elsewhere."""

    name = forms.CharField(label="Name in the certificate", max_length=64)
    algorithm = forms.ChoiceField(label="Algorithm", choices=[(one, _ALGORITHMS[one]) for one in EXPORT_ALGORITHMS])


class CertificateForm(KeyForm):
    """What a CA answered."""

    file = forms.FileField(label="Certificate and its issuers, PEM")

    def clean_file(self) -> bytes:
        """Return the content."""
        return _content(self.cleaned_data["file"])


class WithdrawForm(KeyForm):
    """Which request is not needed any more."""

    def offer(self, waiting: Iterable[ExportCertificate]) -> None:
        """Let one of these requests be chosen, the newest unless somebody says otherwise."""
        choices = [(row.key_id, f"{row.created_at:%Y-%m-%d %H:%M} UTC, {row.key_id}") for row in waiting]
        self.fields["key"] = forms.ChoiceField(label="Request of", choices=choices[::-1])
        self.order_fields(["key"])


class Pkcs12Form(KeyForm):
    """A key that somebody has already."""

    file = forms.FileField(label="PKCS#12 file (.p12, .pfx)")
    password = forms.CharField(
        label="Its password", strip=False, widget=forms.PasswordInput({"autocomplete": "off"}), required=False
    )

    def clean_file(self) -> bytes:
        """Return the content."""
        return _content(self.cleaned_data["file"])


def _content(file: object) -> bytes:
    if getattr(file, "size", 0) > _MAX_FILE:
        raise forms.ValidationError(f"The file is larger than {_MAX_FILE:,} bytes.")
    raw: bytes = file.read()  # type: ignore[attr-defined] # an UploadedFile
    return raw
