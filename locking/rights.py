"""The rights of this app by what they let somebody do. Pure: Django's names, which the roles are made of."""

SEE, LOCK = "locking.view_loglock", "locking.add_loglock"
ASK_RELEASE, RELEASE = "locking.change_loglock", "locking.release_loglock"
SEE_OVERRIDES, ASK_OVERRIDE = "locking.view_lockoverride", "locking.add_lockoverride"
DECIDE_OVERRIDE, REVIEW_OVERRIDE = "locking.decide_lockoverride", "locking.review_lockoverride"
OVERRIDE_HOLD = "locking.override_hold"
SET_POLICY = "locking.add_lockpolicy"
