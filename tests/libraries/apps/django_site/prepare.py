"""Makes the tables and the users: ``python -m tests.libraries.apps.django_site.prepare``.

Everybody's password is ``wonderland``. With a library of two factors alice has a device, with allauth root; its key is
`DEVICE_KEY`.
"""

import os
from base64 import b32encode

DEVICE_KEY = "2a2bbba1092ffdd25a328ad1a0a5f5d61d7aacc4"


def main() -> None:
    """Does it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.libraries.apps.django_site.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("check")
    call_command("migrate", verbosity=0)
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
    from django.contrib.auth.models import User

    editor = dict.fromkeys(["is_superuser", "is_staff"], os.environ["LIBRARY"] == "wagtail")
    alice = User.objects.create_user("alice", "alice@a.example", "wonderland", **editor)
    root = User.objects.create_superuser("root", "root@a.example", "wonderland")
    if os.environ["LIBRARY"] == "two_factor":
        from django_otp.plugins.otp_totp.models import TOTPDevice

        TOTPDevice.objects.create(user=alice, name="default", key=DEVICE_KEY)
    if os.environ["LIBRARY"] == "allauth":
        from allauth.mfa.totp.internal.auth import TOTP

        TOTP.activate(root, b32encode(bytes.fromhex(DEVICE_KEY)).decode())


if __name__ == "__main__":
    main()
