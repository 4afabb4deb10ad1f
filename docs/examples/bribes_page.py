"""A report page of your own: what was offered for votes in the newest ended epoch, gauge by gauge.

`foreshore report --page docs/examples/bribes_page.py` adds it to the others; `[report] pages = ["..."]` in
foreshore.toml does for good. The query is shown below its figure, and a table that is not published yet is no error.
"""

from operate.report.charts import bars
from operate.report.page import Figure, Note, Page, Section
from operate.report.reading import Reader

OFFERED = """\
select gauge_name, final_rewards_usd, final_votes
from preboundary_truth_labels
where epoch = (select max(epoch) from preboundary_truth_labels) and final_rewards_usd > 0
order by final_rewards_usd desc, gauge_address
limit 15"""


def page(read: Reader) -> Page:
    rows = read.rows(OFFERED)
    if not rows:
        blocks = [Note("No epoch yet", "Run `foreshore extract voting`, then `foreshore build`.")]
    else:
        chart = bars(rows, "final_rewards_usd:Q", "gauge_name:N", None, x_title="offered, USD", y_title="", y_format="")
        chart["encoding"]["y"]["sort"] = None  # as the query orders them
        blocks = [Figure("Offered for votes", "The fifteen largest.", chart, ["preboundary_truth_labels"], OFFERED)]
    return Page("bribes", "", "Bribes", "Where the newest ended epoch's rewards were.", [Section("Newest", blocks)])
