"""What was issued stays as it was issued: invoices, credit notes and the hashes of their files are only inserted."""

from django.db import migrations

APPEND_ONLY = """
CREATE TRIGGER invoice_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_invoice
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER invoice_file_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON billing_invoicefile
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'gpubroker') AND current_user <> 'gpubroker' THEN
        REVOKE UPDATE, DELETE, TRUNCATE ON billing_invoice, billing_invoicefile FROM gpubroker;
    END IF;
END
$$
"""

UNDO = """
DROP TRIGGER invoice_append_only ON billing_invoice;
DROP TRIGGER invoice_file_append_only ON billing_invoicefile
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_invoices")]
    operations = [migrations.RunSQL(APPEND_ONLY, UNDO)]
