"""Who locks, asks and approves in these tests."""

from django.contrib.auth.models import Group, User

from activity import authority
from auditlog_project.roles import APPROVER, COMPLIANCE_OFFICER


def person(name: str, role: str, *ledgers: str) -> User:
    """Return somebody of a role who may see these ledgers."""
    user = User.objects.create_user(name, email=f"{name}@example.org", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    for ledger in ledgers or ("activity",):
        authority.grant_ledger(ledger=ledger, to=user, by="ada", reason="test")
    return user


def officer(name: str = "olga", *ledgers: str) -> User:
    return person(name, COMPLIANCE_OFFICER, *ledgers)


def approver(name: str = "anton", *ledgers: str) -> User:
    return person(name, APPROVER, *ledgers)
