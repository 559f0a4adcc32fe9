"""Pages of invoices and credit notes: the list, the files, and what stands on them as the buyer."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from accounts.requests import Request
from billing import access, invoice_files, invoices
from billing.forms.invoices import BillingDetailsForm
from billing.models import Invoice

ROWS = 25


@require_GET
def list_invoices(request: Request) -> HttpResponse:
    organisation = access.organisation_to_see(request.actor)
    page = Paginator(invoices.invoices_of(organisation), ROWS).get_page(request.GET.get("page"))
    context = {"rows": page, "details": invoices.details_of(organisation), "organisation": organisation}
    return render(request, "billing/invoices.html", context)


@require_GET
def download(request: Request, invoice_id: str) -> HttpResponse:
    return as_file(access.get_invoice(request.actor, invoice_id))


def as_file(invoice: Invoice) -> HttpResponse:
    """The PDF as it was issued."""
    headers = {"Content-Disposition": f'attachment; filename="{invoice.number}.pdf"', "Cache-Control": "private"}
    return HttpResponse(invoice_files.read(invoice), content_type="application/pdf", headers=headers)


@require_http_methods(["GET", "POST"])
def details(request: Request) -> HttpResponse:
    organisation = access.organisation_to_pay_for(request.actor)
    present = invoices.details_of(organisation)
    if request.method == "POST":
        form = BillingDetailsForm(request.POST)
        if form.is_valid():
            invoices.change_details(organisation, actor=request.actor, **form.cleaned_data)
            messages.success(request, _("Saved. It holds for invoices from now on."))
            return redirect("billing:invoices")
    else:
        form = BillingDetailsForm(
            initial={
                "name": present.name or organisation.name,
                "address": present.address,
                "country": organisation.country,
                "tax_id": organisation.tax_id,
            }
        )
    return render(request, "billing/invoice_details.html", {"form": form}, status=422 if form.errors else 200)
