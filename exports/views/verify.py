"""`/verify/`: anybody uploads or pastes a piece of evidence and reads in plain words what can be said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.http import HttpResponse
from django.shortcuts import render
from django.views import View
from rest_framework.exceptions import Throttled

from activity import brought
from activity.api.throttling import Throttle
from activity.errors import BadEvidenceError
from exports import judging
from exports.verifier import page
from signing.errors import SigningError

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile
    from django.http import HttpRequest

    from exports.verifier.report import Report

_MAX_TEXT_BYTES = 2_000_000  # of a proof file; everything else is smaller


class _FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class _FilesField(forms.FileField):
    """One file or several, as a list."""

    widget = _FilesInput

    def clean(self, data: Any, initial: Any = None) -> Any:
        return [super(_FilesField, self).clean(one, initial) for one in data or ()]


class EvidenceForm(forms.Form):
    """Files or a text, and the record that a proof file is about."""

    use_required_attribute = False

    file = _FilesField(
        label="A file", required=False, help_text="Of one export also several: its table and its manifest, for example."
    )
    text = forms.CharField(
        label="Or its text",
        required=False,
        max_length=_MAX_TEXT_BYTES,
        widget=forms.Textarea({"rows": 8, "spellcheck": "false", "autocomplete": "off"}),
    )
    record = forms.CharField(
        label="Record, for a tlog-proof file only",
        required=False,
        help_text="In base64url, as the API gives it.",
        widget=forms.Textarea({"rows": 3, "spellcheck": "false", "autocomplete": "off"}),
    )

    def clean(self) -> dict[str, Any]:
        """Require one of both, and make a text of a file that is none of an export."""
        cleaned = super().clean() or {}
        files = cleaned.get("file") or []
        if not files and not cleaned.get("text", "").strip():
            raise forms.ValidationError("Choose a file, or paste a text.")
        if len(files) == 1 and not judging.is_export(files[0]):
            cleaned["text"], cleaned["file"] = _text_of(files[0]), []
        return cleaned


class Verify(View):
    """Judge what somebody brings; no account is needed, and addresses are counted."""

    http_method_names = ["get", "head", "post"]
    throttle_scope = "verify"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Ask for it."""
        return render(request, "exports/verify.html", {"form": EvidenceForm()})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Judge it. Raises Throttled."""
        throttle = Throttle()
        if not throttle.allow_request(cast("Any", request), cast("Any", self)):
            raise Throttled(throttle.wait())
        form = EvidenceForm(request.POST, request.FILES)
        judgement = None
        reports: list[Report] = []
        if form.is_valid() and form.cleaned_data["file"]:
            reports = judging.judge_exports([(file, file.name) for file in form.cleaned_data["file"]])
        elif form.is_valid():
            try:
                judgement = brought.judge_text(form.cleaned_data["text"], record=form.cleaned_data["record"])
            except (BadEvidenceError, SigningError) as error:
                form.add_error(None, f"This cannot be read: {error}.")
        shown = {"form": form, "judgement": judgement, "reports": reports}
        return render(request, "exports/verify.html", shown, status=200 if judgement or reports else 400)


class OfflinePage(View):
    """Hand out the page that verifies exports in a browser, offline."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """Give it as a file: opened here it would be ours to change, and under the policy of this site."""
        del request
        disposition = {"Content-Disposition": f'attachment; filename="{page.FILE_NAME}"'}
        return HttpResponse(page.page(), content_type="text/html; charset=utf-8", headers=disposition)


def _text_of(file: UploadedFile[bytes]) -> str:
    """Return the content of a file that is none of an export. Raises ValidationError."""
    if (file.size or 0) > _MAX_TEXT_BYTES:
        raise forms.ValidationError(f"The file is larger than the {_MAX_TEXT_BYTES:,} bytes that are taken.")
    try:
        text: str = file.read().decode()
    except UnicodeDecodeError:
        raise forms.ValidationError("The file is no export, JWS, receipt, proof, checkpoint or entry.") from None
    return text
