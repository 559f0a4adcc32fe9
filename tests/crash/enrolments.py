"""From the checkout to the key by mail."""

from __future__ import annotations

import re

from django.contrib.sessions.backends.cache import SessionStore

from accounts.models import User
from billing import plans
from enrollment import checkout, tasks
from enrollment.models import Enrolment, IdentityKind
from enrollment.states import EnrolmentStatus
from lib.secrets import hash_token
from notifications.models import Mail
from tests.billing.money import approve
from tests.crash.flow import Facts, Flow, customer, organisation_of
from tests.crash.payments import at_paypal, sole_payment

BACK = "http://127.0.0.1:8000/checkout/"


class Enrol(Flow):
    """Begun, paid at PayPal, finished: the key is mailed."""

    name, peers = "enrolment", ("paypal",)

    def prepare(self) -> Facts:
        person, facts = customer()
        return {**facts, "user": str(person.user.pk), "email": person.user.email}

    def act(self, facts: Facts) -> None:
        enrolment = checkout.begin(
            plan=plans.find_plan("pro"),
            customer=checkout.Customer(facts["email"], "Ana", "EC", IdentityKind.CEDULA, "1710034065"),
            person=User.objects.get(pk=facts["user"]),
            session=SessionStore(),
            organisation=organisation_of(facts),
            token=facts["key"],
        )
        if enrolment.status == EnrolmentStatus.STARTED:
            payment = checkout.start_payment(enrolment, return_url=BACK, cancel_url=BACK)
            approve(payment.approve_url)
        checkout.finish_payment(Enrolment.objects.get(pk=enrolment.pk))

    def work(self, facts: Facts) -> None:
        tasks.finish_paid()

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        enrolment = Enrolment.objects.get(organisation=organisation)
        assert enrolment.status == EnrolmentStatus.PAID
        [mail] = Mail.objects.filter(to=facts["email"], text__contains="act_")
        [key] = set(re.findall(r"act_[\w-]+", mail.text))
        assert hash_token(key) == enrolment.key_hash
        assert plans.current_plan(organisation).slug == "pro"
        assert len(at_paypal(sole_payment(organisation))["captures"]) == 1


FLOWS: tuple[Flow, ...] = (Enrol(),)
