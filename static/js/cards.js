// A card goes into Stripe's own fields and to Stripe alone; we get to know that there is one, and ask Stripe which.
const place = document.querySelector("[data-cards]");
const part = (name) => place.querySelector(`[data-card-${name}]`);

function say(text) {
  part("said").className = text ? "notice bad" : "";
  part("said").textContent = text;
}

async function begin() {
  const headers = JSON.parse(document.body.getAttribute("hx-headers"));
  const answer = await fetch("/api/v2/billing/setup-intent", { method: "POST", headers });
  const data = await answer.json();
  if (!answer.ok) throw new Error(data.error.message);
  return data;
}

async function open() {
  if (!window.Stripe) throw new Error(place.dataset.unreachable);
  const intent = await begin();
  const stripe = window.Stripe(intent.publishable_key, { locale: document.documentElement.lang });
  const elements = stripe.elements({ clientSecret: intent.client_secret });
  const field = elements.create("payment");
  field.mount(part("field"));
  field.on("ready", () => field.focus());
  part("open").hidden = true;
  part("form").hidden = false;
  part("form").addEventListener("submit", (event) => {
    event.preventDefault();
    save(stripe, elements);
  });
}

async function save(stripe, elements) {
  part("save").disabled = true;
  say("");
  // The bank may want to see the customer first: then the browser goes there, and comes back to this page by itself.
  const { error } = await stripe.confirmSetup({ elements, confirmParams: { return_url: place.dataset.returnUrl } });
  if (error) say(error.message);
  part("save").disabled = false;
}

if (place) {
  part("open").hidden = false;
  part("open").addEventListener("click", async () => {
    part("open").disabled = true;
    try {
      say("");
      await open();
    } catch (problem) {
      say(problem.message);
    }
    part("open").disabled = false;
  });
}
