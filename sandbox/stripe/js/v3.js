/* A stand-in for Stripe.js (https://js.stripe.com/v3/): as much of it as a shop needs that stores cards and takes
 * payments. It speaks to the peer that it was loaded from, with the publishable key and client secrets only.
 * It writes no inline style and no inline script: a strict content security policy lets it work. */
(function () {
  "use strict";

  var script = document.currentScript;
  var ORIGIN = new URL(script ? script.src : window.location.href).origin;
  var CARDS = [
    ["4242 4242 4242 4242", "succeeds"],
    ["4000 0025 0000 3155", "the bank asks (3-D Secure)"],
    ["4000 0000 0000 0341", "is stored, fails when charged"],
    ["4000 0000 0000 9995", "insufficient funds"],
    ["4000 0000 0000 0002", "declined"],
    ["4000 0000 0000 0259", "is disputed later"]
  ];
  var STYLE = {
    box: { display: "grid", gap: "0.75rem" },
    row: { display: "grid", gap: "0.75rem", gridTemplateColumns: "1fr 1fr" },
    label: { display: "grid", gap: "0.25rem", fontWeight: "600" },
    input: { width: "100%", minHeight: "2.75rem", boxSizing: "border-box", padding: "0.5rem 0.75rem", font: "inherit" },
    alert: { margin: "0" }
  };
  var unique = 0;

  function make(tag, parent, style, attributes) {
    var node = document.createElement(tag);
    Object.assign(node.style, style || {});
    Object.keys(attributes || {}).forEach(function (name) {
      if (name === "text") node.textContent = attributes[name];
      else node.setAttribute(name, attributes[name]);
    });
    parent.appendChild(node);
    return node;
  }

  /* One call of the API: an object of parameters with brackets in their names, as a form. */
  function call(key, method, path, parameters) {
    var form = new URLSearchParams(Object.assign({ key: key }, parameters));
    var url = ORIGIN + path + (method === "GET" ? "?" + form : "");
    return fetch(url, { method: method, body: method === "GET" ? undefined : form, credentials: "omit" })
      .then(function (response) { return response.json(); })
      .catch(function () {
        return { error: { type: "api_connection_error", message: "We could not reach the payment service. Try again." } };
      });
  }

  function readSecret(secret) {
    var found = /^((seti|pi)_\w+)_secret_\w+$/.exec(secret || "");
    if (!found) throw new Error("Invalid value for elements(): clientSecret is not a client secret.");
    return { id: found[1], kind: found[2] === "pi" ? "paymentIntent" : "setupIntent", secret: secret };
  }

  function pathOf(intent) {
    return "/v1/" + (intent.kind === "paymentIntent" ? "payment_intents/" : "setup_intents/") + intent.id;
  }

  function PaymentElement() {
    this.handlers = {};
    this.fields = {};
  }

  PaymentElement.prototype.on = function (name, handler) {
    (this.handlers[name] = this.handlers[name] || []).push(handler);
    return this;
  };

  PaymentElement.prototype.tell = function (name, event) {
    var told = Object.assign({ elementType: "payment" }, event);
    (this.handlers[name] || []).forEach(function (handler) { handler(told); });
  };

  PaymentElement.prototype.mount = function (target) {
    var node = typeof target === "string" ? document.querySelector(target) : target;
    if (!node) throw new Error("Invalid DOM element: mount() needs an element or a selector that finds one.");
    node.replaceChildren();
    this.node = node;
    this.box = make("div", node, STYLE.box, { "class": "stripe-element", role: "group", "aria-label": "Card" });
    this.field("number", "Card number", this.box, { placeholder: "1234 1234 1234 1234", autocomplete: "cc-number" });
    var row = make("div", this.box, STYLE.row);
    this.field("expiry", "Expiry date (MM / YY)", row, { placeholder: "MM / YY", autocomplete: "cc-exp" });
    this.field("cvc", "Security code", row, { placeholder: "CVC", autocomplete: "cc-csc", maxlength: "4" });
    this.alert = make("p", this.box, STYLE.alert, { role: "alert", "class": "stripe-error" });
    this.list();
    window.setTimeout(this.tell.bind(this, "ready", {}), 0);
    return this;
  };

  PaymentElement.prototype.field = function (name, label, parent, attributes) {
    var id = "stripe-" + name + "-" + (unique += 1);
    var box = make("label", parent, STYLE.label, { text: label, "for": id });
    var usual = { id: id, name: "card-" + name, inputmode: "numeric" };
    var input = make("input", box, STYLE.input, Object.assign(usual, attributes));
    input.addEventListener("input", this.changed.bind(this, name));
    this.fields[name] = input;
  };

  PaymentElement.prototype.list = function () {
    var details = make("details", this.box);
    make("summary", details, {}, { text: "Test cards: no real money" });
    var list = make("ul", details);
    CARDS.forEach(function (card) {
      var button = make("button", make("li", list), {}, { type: "button", text: card[0] + " — " + card[1] });
      button.addEventListener("click", this.fill.bind(this, card[0]));
    }, this);
  };

  PaymentElement.prototype.fill = function (number) {
    this.fields.number.value = number;
    this.fields.expiry.value = "12 / " + String(new Date().getFullYear() + 4).slice(2);
    this.fields.cvc.value = "123";
    this.changed("number");
    this.fields.number.focus();
  };

  PaymentElement.prototype.changed = function (name) {
    var input = this.fields[name];
    var atEnd = input.selectionStart === input.value.length;
    if (name === "number" && atEnd) {
      input.value = input.value.replace(/\D/g, "").slice(0, 19).replace(/(.{4})(?=.)/g, "$1 ");
    }
    if (name === "expiry" && atEnd && /^\d{3,4}$/.test(input.value)) {
      input.value = input.value.slice(0, 2) + " / " + input.value.slice(2);
    }
    this.show(null);
    var empty = this.fields.number.value === "";
    this.tell("change", { complete: this.wrong() === null, empty: empty, value: { type: "card" } });
  };

  PaymentElement.prototype.digits = function (name) {
    return this.fields[name].value.replace(/\D/g, "");
  };

  /* The first field that is not filled in, with what to say of it. */
  PaymentElement.prototype.wrong = function () {
    if (this.digits("number").length < 12) return ["number", "incomplete_number", "Your card number is incomplete."];
    if (this.digits("expiry").length !== 4) return ["expiry", "incomplete_expiry", "Your card's expiry date is incomplete."];
    if (this.digits("cvc").length < 3) return ["cvc", "incomplete_cvc", "Your card's security code is incomplete."];
    return null;
  };

  PaymentElement.prototype.show = function (message, name) {
    this.alert.textContent = message || "";
    Object.keys(this.fields).forEach(function (each) {
      this.fields[each].setAttribute("aria-invalid", String(Boolean(message) && each === name));
    }, this);
    if (message && name) this.fields[name].focus();
  };

  PaymentElement.prototype.card = function () {
    var expiry = this.digits("expiry");
    return {
      "payment_method_data[type]": "card",
      "payment_method_data[card][number]": this.digits("number"),
      "payment_method_data[card][exp_month]": String(Number(expiry.slice(0, 2))),
      "payment_method_data[card][exp_year]": "20" + expiry.slice(2),
      "payment_method_data[card][cvc]": this.digits("cvc")
    };
  };

  PaymentElement.prototype.focus = function () { this.fields.number.focus(); };
  PaymentElement.prototype.clear = function () {
    Object.keys(this.fields).forEach(function (name) { this.fields[name].value = ""; }, this);
  };
  PaymentElement.prototype.update = function () { return this; };
  PaymentElement.prototype.unmount = function () { if (this.node) this.node.replaceChildren(); };
  PaymentElement.prototype.destroy = PaymentElement.prototype.unmount;

  function Elements(options) {
    this.intent = readSecret(options && options.clientSecret);
    this.element = null;
  }

  Elements.prototype.create = function (type) {
    if (type !== "payment") throw new Error("The sandbox has the Payment Element only.");
    if (this.element) throw new Error("Can only create one Element of type payment.");
    this.element = new PaymentElement();
    return this.element;
  };
  Elements.prototype.getElement = function (type) { return type === "payment" ? this.element : null; };
  Elements.prototype.update = function () { return this; };
  Elements.prototype.submit = function () {
    var wrong = this.element && this.element.wrong();
    if (!wrong) return Promise.resolve({ selectedPaymentMethod: "card" });
    this.element.show(wrong[2], wrong[0]);
    return Promise.resolve({ error: { type: "validation_error", code: wrong[1], message: wrong[2] } });
  };

  /* What the API said, for the shop: an intent or an error; a journey to the bank never comes back here. */
  function settle(intent, answer, options, element) {
    if (answer.error) {
      if (element) element.show(answer.error.message, "number");
      return { error: answer.error };
    }
    var next = answer.status === "requires_action" && answer.next_action && answer.next_action.redirect_to_url;
    if (next) {
      window.location.assign(next.url);
      return new Promise(function () {});
    }
    if (options.redirect !== "if_required") {
      var back = new URL(options.confirmParams.return_url);
      var name = intent.kind === "paymentIntent" ? "payment_intent" : "setup_intent";
      back.searchParams.set(name, answer.id);
      back.searchParams.set(name + "_client_secret", intent.secret);
      back.searchParams.set("redirect_status", answer.status === "succeeded" ? "succeeded" : "failed");
      window.location.assign(back);
      return new Promise(function () {});
    }
    return named(intent, answer);
  }

  function named(intent, answer) {
    var result = {};
    result[intent.kind] = answer;
    return result;
  }

  function confirm(key, kind, options) {
    var elements = options.elements;
    var intent = elements ? elements.intent : readSecret(options.clientSecret);
    var given = options.confirmParams || {};
    if (intent.kind !== kind) throw new Error("This client secret belongs to another kind of intent.");
    if (options.redirect !== "if_required" && !given.return_url) {
      throw new Error("confirmParams.return_url is required.");
    }
    var element = elements && elements.element;
    var ready = elements ? elements.submit() : Promise.resolve({});
    return ready.then(function (checked) {
      if (checked.error) return { error: checked.error };
      var parameters = Object.assign({ client_secret: intent.secret }, element ? element.card() : {});
      if (given.return_url) parameters.return_url = given.return_url;
      if (given.payment_method) parameters.payment_method = given.payment_method;
      return call(key, "POST", pathOf(intent) + "/confirm", parameters).then(function (answer) {
        return settle(intent, answer, options, element);
      });
    });
  }

  function retrieve(key, secret) {
    var intent = readSecret(secret);
    return call(key, "GET", pathOf(intent), { client_secret: secret }).then(function (answer) {
      return answer.error ? { error: answer.error } : named(intent, answer);
    });
  }

  /* Go to the bank when the intent waits for the payer. */
  function goOn(key, secret) {
    var intent = readSecret(secret);
    return call(key, "GET", pathOf(intent), { client_secret: secret }).then(function (answer) {
      return settle(intent, answer, { redirect: "if_required" });
    });
  }

  function Stripe(key) {
    if (!/^pk_/.test(key || "")) throw new Error("Stripe() needs a publishable key, which begins with pk_.");
    return {
      elements: function (options) { return new Elements(options); },
      confirmSetup: function (options) { return confirm(key, "setupIntent", options); },
      confirmPayment: function (options) { return confirm(key, "paymentIntent", options); },
      handleNextAction: function (options) { return goOn(key, options.clientSecret); },
      retrieveSetupIntent: function (secret) { return retrieve(key, secret); },
      retrievePaymentIntent: function (secret) { return retrieve(key, secret); }
    };
  }

  Stripe.version = "sandbox";
  window.Stripe = Stripe;
})();
