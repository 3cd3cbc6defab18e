"""What error pages and mails leave out of the settings: secrets, and addresses, because they carry passwords."""

import re

from django.views.debug import SafeExceptionReporterFilter


class AddressesHiddenFilter(SafeExceptionReporterFilter):
    """Hide what Django hides, and every setting that holds the address of a server."""

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern + "|URL|BACKEND|LOCATION", re.IGNORECASE
    )
