"""The roles of people: what set-up gives, takes and leaves; and that no role leads to another in the admin."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from activity.access import READ_PERMISSION, WRITE_PERMISSION
from activity.models import ActivityLog
from auditlog_project.roles import ROLES, SECURITY_ADMIN, make_roles

pytestmark = pytest.mark.django_db

USERS = "/admin/auth/user/"


@pytest.fixture
def sam() -> User:
    return member("sam", SECURITY_ADMIN)


def member(name: str, role: str) -> User:
    user = User.objects.create_user(name, password="difference engine", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return user


def at_the_admin(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def form_of(user: User, **changes: Any) -> dict[str, Any]:
    said = {
        "username": user.username,
        "is_staff": "on",
        "is_active": "on",
        "groups": list(user.groups.values_list("pk")),
    }
    return {**said, "date_joined_0": "2026-11-24", "date_joined_1": "06:00:00", **changes}


def last_account() -> dict[str, Any]:
    entry = ActivityLog.objects.filter(type="auditlog.account.set").latest("leaf_index")
    said: dict[str, Any] = json.loads(bytes(entry.record))
    return said


def test_set_up_made_every_role_and_says_nothing_the_second_time() -> None:
    assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)
    assert make_roles() == []


def test_a_role_that_was_changed_is_put_right_and_other_groups_are_left() -> None:
    reader, own = Group.objects.get(name="reader"), Group.objects.create(name="our own")
    stranger = Permission.objects.get(codename="change_user")
    own.permissions.add(stranger)
    reader.permissions.set([stranger])
    (line,) = make_roles()
    assert line.startswith("role of people reader: changed (given activity.view_activitylog")
    assert line.endswith("taken away auth.change_user)")
    assert make_roles() == []
    assert list(own.permissions.all()) == [stranger]


def test_who_gives_roles_reads_no_entry_and_who_reads_gives_no_role() -> None:
    assert not ROLES[SECURITY_ADMIN] & {READ_PERMISSION, WRITE_PERMISSION, "activity.add_ledgergrant"}
    givers = {role for role, permissions in ROLES.items() if permissions & {"auth.add_user", "auth.change_user"}}
    assert givers == {SECURITY_ADMIN}
    assert not [role for role, held in ROLES.items() if held & {"auth.delete_user", "auth.change_group"}]


def test_a_security_admin_gives_a_role_and_that_is_recorded(sam: User) -> None:
    ann = User.objects.create_user("ann")
    reader = Group.objects.get(name="reader")
    response = at_the_admin(sam).post(f"{USERS}{ann.pk}/change/", form_of(ann, groups=[reader.pk]))
    assert response.status_code == 302
    assert list(ann.groups.all()) == [reader]
    step = last_account()
    assert (step["actor"], step["target"], step["data"]["roles"]) == ("sam", "ann", ["reader"])


def test_a_security_admin_makes_an_account_and_that_is_recorded(sam: User) -> None:
    password = {"password1": "analytical engine", "password2": "analytical engine", "usable_password": "true"}
    assert at_the_admin(sam).post(f"{USERS}add/", {"username": "bob", **password}).status_code == 302
    assert (last_account()["target"], last_account()["data"]["roles"]) == ("bob", [])


def test_a_security_admin_makes_nobody_superuser(sam: User) -> None:
    ann = User.objects.create_user("ann")
    everything = list(Permission.objects.values_list("pk", flat=True))
    asked = form_of(ann, is_superuser="on", user_permissions=everything)
    assert at_the_admin(sam).post(f"{USERS}{ann.pk}/change/", asked).status_code == 302
    ann.refresh_from_db()
    assert not ann.is_superuser
    assert not ann.user_permissions.exists()


def test_a_security_admin_changes_no_right_of_his_own(sam: User) -> None:
    groups = list(Group.objects.values_list("pk", flat=True))
    asked = form_of(sam, is_superuser="on", groups=groups, email="sam@example.org")
    assert at_the_admin(sam).post(f"{USERS}{sam.pk}/change/", asked).status_code == 302
    sam.refresh_from_db()
    assert sam.email == "sam@example.org"
    assert not sam.is_superuser
    assert [group.name for group in sam.groups.all()] == [SECURITY_ADMIN]


def test_a_security_admin_takes_over_no_superuser(sam: User) -> None:
    root = User.objects.create_superuser("root", password="analytical engine")
    client = at_the_admin(sam)
    assert client.post(f"{USERS}{root.pk}/change/", form_of(root, email="sam@example.org")).status_code == 403
    new = {"password1": "taken over by sam", "password2": "taken over by sam", "usable_password": "true"}
    assert client.post(f"{USERS}{root.pk}/password/", new).status_code == 403
    root.refresh_from_db()
    assert root.check_password("analytical engine")


def test_a_password_that_somebody_else_sets_is_recorded_without_it(sam: User) -> None:
    ann = User.objects.create_user("ann")
    new = {"password1": "set by sam today", "password2": "set by sam today", "usable_password": "true"}
    assert at_the_admin(sam).post(f"{USERS}{ann.pk}/password/", new).status_code == 302
    assert User.objects.get(pk=ann.pk).check_password("set by sam today")
    step = last_account()
    assert (step["actor"], step["target"], step["data"]["step"]) == ("sam", "ann", "Changed password.")
    assert "set by sam today" not in json.dumps(step)


def test_nobody_deletes_or_renames_an_account() -> None:
    root = User.objects.create_superuser("root")
    ann = User.objects.create_user("ann")
    client = at_the_admin(root)
    assert client.post(f"{USERS}{ann.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.post(USERS, {"action": "delete_selected", "_selected_action": [ann.pk], "post": "yes"}).status_code
    assert client.post(f"{USERS}{ann.pk}/change/", form_of(ann, username="eve")).status_code == 302
    assert User.objects.get(pk=ann.pk).username == "ann"
