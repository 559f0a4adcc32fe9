// The tax id is asked for only where it is needed; without JavaScript the fields stay visible and are optional.
const form = document.querySelector("[data-checkout]");
const country = form?.querySelector('[name="country"]');

function showTaxId() {
  for (const part of form.querySelectorAll("[data-only-country]")) {
    part.hidden = part.dataset.onlyCountry !== country.value;
  }
}

if (country) {
  country.addEventListener("change", showTaxId);
  showTaxId();
}
