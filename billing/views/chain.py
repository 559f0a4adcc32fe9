"""The page of USDC: balance, linked wallets, deposits followed live, withdrawals. Its forms work without JavaScript,
with any wallet that can sign a text."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.models import Organisation
from accounts.requests import Request
from accounts.roles import Permission
from billing import access, wallet
from billing.chain import deposits as chain_deposits
from billing.chain import faucet as chain_faucet
from billing.chain import links, nodes, withdrawals
from billing.chain.networks import NETWORKS, Network, configured, network_of
from billing.forms.chain import ChainForm, LinkForm, WithdrawForm
from billing.payouts import unlinking
from lib.errors import AppError
from lib.rate import limit

ROWS = 20
LIVE_PATH = "/ws/dashboard/"
FAUCET_IDS, WITHDRAW_IDS = "faucet_%s", "withdraw_%s"  # one page holds several forms with an address


@require_GET
def show(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    if request.htmx:
        return render(request, "billing/_chain.html", _rows(organisation))
    return _page(request, organisation)


@require_POST
def new_message(request: Request) -> HttpResponse:
    """Without JavaScript: what to sign in any wallet, and a field for the signature."""
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.link", per_minute=20)
    form = ChainForm(request.POST)
    if form.is_valid():
        try:
            _nonce, message = links.new_message(
                organisation=organisation,
                address=form.cleaned_data["address"],
                network=network_of(form.cleaned_data["chain"]),
                actor=request.actor,
            )
        except AppError as refusal:
            _put_errors(form, refusal)
        else:
            return _page(request, organisation, sign_form=LinkForm(initial={"message": message}))
    return _page(request, organisation, link_form=form, status=422)


@require_POST
def link(request: Request) -> HttpResponse:
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.link", per_minute=20)
    form = LinkForm(request.POST)
    if form.is_valid():
        try:
            # Browsers send the line ends of a text field as two signs.
            message = form.cleaned_data["message"].replace("\r\n", "\n")
            linked = links.link(
                organisation=organisation,
                message=message,
                signature=form.cleaned_data["signature"],
                actor=request.actor,
            )
        except AppError as refusal:
            _put_errors(form, refusal)
        else:
            messages.success(request, _("%(address)s is linked.") % {"address": linked.address})
            return redirect("billing:usdc")
    return _page(request, organisation, sign_form=form, status=422)


@require_POST
def unlink(request: Request, wallet_id: str) -> HttpResponse:
    unlinking.unlink(access.get_linked_wallet(request.actor, wallet_id), actor=request.actor)
    messages.success(request, _("The wallet is unlinked, and nothing more is paid out to it."))
    return redirect("billing:usdc")


@require_POST
def faucet(request: Request) -> HttpResponse:
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.faucet", per_minute=6)
    form = ChainForm(request.POST, auto_id=FAUCET_IDS)
    if form.is_valid():
        try:
            chain_faucet.give(form.cleaned_data["chain"], form.cleaned_data["address"])
        except AppError as refusal:
            _put_errors(form, refusal)
        else:
            messages.success(request, _("1,000 test USDC are on their way to that address."))
            return redirect("billing:usdc")
    return _page(request, organisation, faucet_form=form, status=422)


@require_POST
def withdraw(request: Request) -> HttpResponse:
    organisation = access.organisation_to_pay_for(request.actor)
    limit(f"organisation:{organisation.pk}", "billing.pay", per_minute=20)
    form = WithdrawForm(request.POST, auto_id=WITHDRAW_IDS)
    if form.is_valid():
        try:
            made = withdrawals.request_withdrawal(
                organisation=organisation,
                network=network_of(form.cleaned_data["chain"]),
                address=form.cleaned_data["address"],
                amount=form.cleaned_data["amount"],
                actor=request.actor,
                key=f"page-{form.cleaned_data['token']}",
            )
        except AppError as refusal:
            _put_errors(form, refusal)
        else:
            messages.success(request, _("%(amount)s USDC are set aside.") % {"amount": f"{made.amount.normalize():f}"})
            return redirect("billing:usdc")
    return _page(request, organisation, withdraw_form=form, status=422)


@require_POST
def cancel(request: Request, withdrawal_id: str) -> HttpResponse:
    withdrawal = access.get_withdrawal(request.actor, withdrawal_id, Permission.MANAGE_BILLING)
    withdrawals.cancel(withdrawal, actor=request.actor)
    messages.success(request, _("The withdrawal was called off; the sum is back in your wallet."))
    return redirect("billing:usdc")


def _page(
    request: Request,
    organisation: Organisation,
    *,
    link_form: ChainForm | None = None,
    sign_form: LinkForm | None = None,
    faucet_form: ChainForm | None = None,
    withdraw_form: WithdrawForm | None = None,
    status: int = 200,
) -> HttpResponse:
    networks = configured()
    context = {
        **_rows(organisation),
        "networks": networks,
        "chains_json": json.dumps([_for_wallet(network) for network in networks]),
        "treasury": nodes.treasury() if networks else "",
        "wallets": links.wallets_of(organisation),
        "faucet": chain_faucet.available(),
        "link_form": link_form or ChainForm(),
        "sign_form": sign_form,
        "faucet_form": faucet_form or ChainForm(auto_id=FAUCET_IDS),
        "withdraw_form": withdraw_form or WithdrawForm(initial={"token": uuid4().hex}, auto_id=WITHDRAW_IDS),
        "left_today": withdrawals.left_today(organisation),
        "largest": withdrawals.LARGEST,
        "approval_above": withdrawals.APPROVAL_ABOVE,
        "live_path": LIVE_PATH,
    }
    return render(request, "billing/chain.html", context, status=status)


def _for_wallet(network: Network) -> dict[str, str]:
    """What the browser's wallet needs. It does not know the sandbox's chain yet, and is told where that answers."""
    return {
        "chain": network.slug,
        "name": network.name,
        "chainId": hex(network.chain_id),
        "token": network.token,
        "treasury": nodes.treasury(),
        "coin": network.coin,
        "rpc": settings.CHAINS[network.slug][0] if network.faucet else "",
    }


def _rows(organisation: Organisation) -> dict[str, Any]:
    """What changes while one looks."""
    deposits = list(chain_deposits.deposits_of(organisation)[:ROWS])
    paid_out = list(withdrawals.withdrawals_of(organisation)[:ROWS])
    return {
        "balance": wallet.balance(organisation, "USDC"),
        "deposits": [(row, NETWORKS[row.chain], NETWORKS[row.chain].transaction_url(row.tx_hash)) for row in deposits],
        "withdrawals": [
            (row, NETWORKS[row.chain], NETWORKS[row.chain].transaction_url(row.tx_hash)) for row in paid_out
        ],
    }


def _put_errors(form: forms.Form, refusal: AppError) -> None:
    """Beside the fields where they belong, else above the form."""
    beside = {name: texts for name, texts in refusal.fields.items() if name in form.fields}
    for name, texts in beside.items():
        form.add_error(name, texts)
    if not beside:
        form.add_error(None, refusal.message)
