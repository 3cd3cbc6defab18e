"""`/exports/key/`: the export key of whoever asks: made here, asked for elsewhere, brought along, revoked.

Whose key a step is about is read from whoever asks, never from what is sent; of several requests he chooses among his.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from exports import queries
from exports.views.forms import CertificateForm, KeyForm, NewKeyForm, Pkcs12Form, WithdrawForm
from exports.views.orders import Exporting
from signing import export_keys
from signing.errors import SigningError
from signing.models import ExportCertificate, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest


class Step(NamedTuple):
    """Something that can be done with a key."""

    title: str
    help: str
    form: type[KeyForm]
    button: str
    done: str


STEPS = {
    "create": Step(
        "Make a key here",
        "The built-in CA certifies it at once. A key that you have now is retired; what it signed stays valid.",
        NewKeyForm,
        "Make key and certificate",
        "Your export key is ready.",
    ),
    "request": Step(
        "Have a CA of yours certify a key",
        "A key is made here, and you download a request (PKCS#10) for the CA. Then bring its answer.",
        NewKeyForm,
        "Make key and request",
        "",
    ),
    "certificate": Step(
        "Bring the certificate that your CA made",
        "In PEM, with the certificates of its issuers up to the root.",
        CertificateForm,
        "Take it in",
        "Your certificate is in use.",
    ),
    "withdraw": Step(
        "Withdraw a request",
        "No certificate is brought for it any more, and its key is destroyed. The key that signs now stays.",
        WithdrawForm,
        "Withdraw",
        "The request is withdrawn.",
    ),
    "import": Step(
        "Bring a key that you have",
        "A PKCS#12 file with key, certificate and issuers. ECDSA P-256, or RSA from 3072 bits.",
        Pkcs12Form,
        "Take it in",
        "Your key is in use.",
    ),
    "revoke": Step(
        "Revoke my key",
        "Nothing is signed with it any more. What it signed before stays valid.",
        KeyForm,
        "Revoke",
        "Your key is revoked.",
    ),
}


class _Who(TypedDict):
    person: str
    by: str


class Key(Exporting):
    """The page, and its steps."""

    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the key and what can be done with it."""
        del request
        return self._page()

    def post(self, request: HttpRequest) -> HttpResponse:
        """Do one step; whatever refuses it is said on its form."""
        step = request.POST.get("step", "")
        if step not in self._offered():
            return self._page(status=400)
        form = self._form(step, request.POST, request.FILES)
        if not form.is_valid():
            return self._page(step, form, status=400)
        try:
            made = _DO[step](self, form.cleaned_data)
        except SigningError as error:
            form.add_error(None, f"{str(error)[:1].upper()}{str(error)[1:]}.")
            return self._page(step, form, status=400)
        if isinstance(made, bytes):
            response = HttpResponse(made, content_type="application/pkcs10")
            response["Content-Disposition"] = 'attachment; filename="export-key.csr"'
            return response
        messages.success(request, STEPS[step].done)
        return redirect("export-key")

    def create(self, said: dict[str, Any]) -> None:
        """Make key and certificate."""
        export_keys.certify(**self._who(), name=said["name"], algorithm=said["algorithm"], reason=said["reason"])

    def request_certificate(self, said: dict[str, Any]) -> bytes:
        """Make key and request, and return the request."""
        return export_keys.request_certificate(
            **self._who(), name=said["name"], algorithm=said["algorithm"], reason=said["reason"]
        )[1]

    def bring_certificate(self, said: dict[str, Any]) -> None:
        """Take a certificate for the newest key that waits for one."""
        waiting = self._rows(SigningKey.State.PRE_ACTIVE)[-1]
        username = self._who()["by"]
        export_keys.add_certificate(key_id=waiting.key_id, content=said["file"], by=username, reason=said["reason"])

    def withdraw(self, said: dict[str, Any]) -> None:
        """Withdraw a request."""
        export_keys.withdraw(key_id=said["key"], by=self._who()["by"], reason=said["reason"])

    def bring_key(self, said: dict[str, Any]) -> None:
        """Take a key with its certificate."""
        export_keys.import_pkcs12(**self._who(), content=said["file"], password=said["password"], reason=said["reason"])

    def revoke(self, said: dict[str, Any]) -> None:
        """Revoke the key that signs now."""
        export_keys.revoke(
            key_id=self._rows(SigningKey.State.ACTIVE)[-1].key_id, by=self._who()["by"], reason=said["reason"]
        )

    def _who(self) -> _Who:
        username = self.person.get_username()
        return {"person": username, "by": username}

    def _rows(self, state: str) -> list[ExportCertificate]:
        return list(ExportCertificate.objects.filter(person=self._who()["person"], key__state=state))

    def _offered(self) -> list[str]:
        waiting = SigningKey.State.PRE_ACTIVE
        needed = {"certificate": waiting, "withdraw": waiting, "revoke": SigningKey.State.ACTIVE}
        return [step for step in STEPS if step not in needed or self._rows(needed[step])]

    def _form(self, step: str, *sent: Any, **options: Any) -> KeyForm:
        form = STEPS[step].form(*sent, **options)
        if isinstance(form, WithdrawForm):
            form.offer(self._rows(SigningKey.State.PRE_ACTIVE))
        return form

    def _page(self, step: str = "", form: KeyForm | None = None, *, status: int = 200) -> HttpResponse:
        name = self.person.get_full_name() or self.person.get_username()
        steps = []
        for one in self._offered():
            about = STEPS[one]
            shown = form if one == step else None
            shown = shown or self._form(one, auto_id=f"{one}_%s", initial={"name": name})
            steps.append((about.title, one, about.help, shown, about.button))
        shown_to = {"signer": queries.signer_of(self.request.user), "steps": steps}
        return render(self.request, "exports/key.html", shown_to, status=status)


_DO: dict[str, Callable[[Key, dict[str, Any]], bytes | None]] = {
    "create": Key.create,
    "request": Key.request_certificate,
    "certificate": Key.bring_certificate,
    "withdraw": Key.withdraw,
    "import": Key.bring_key,
    "revoke": Key.revoke,
}
