"""The choices at the top of the dashboards.

The lists of jobs and brokers come from metrics that every agent has, however it was configured, and
that do not grow with the fleet. Only the dashboard of one client makes a list of clients.
"""

from dashboards.panels import Variable
from dashboards.queries import PREFIX, agents, found

JOB = Variable(
    "job",
    "Job",
    "Prometheus's job of the agent; through a Collector it is the agent's service.name.",
    query=f"label_values({PREFIX}build_info, job)",
)
BROKER = Variable(
    "broker",
    "Broker",
    "emqx.alias of the agent's configuration.",
    query=f"label_values({PREFIX}clients{{job=~`${{job:regex}}`}}, broker)",
)
NODE = Variable(
    "node",
    "Node",
    "A node of EMQX. Tables and charts of clients follow it only if enable_client_info is on.",
    query=f"label_values({agents('node_up')}, node)",
)
ALIAS = Variable("alias", "Alias contains", "Any part of the alias; upper case does not matter.")
SEARCH = Variable(
    "search", "Client id contains", "Any part of the client id; upper case does not matter."
)
CLIENT_ID = Variable(
    "client_id",
    "Client",
    "One client or several. Any client id but one that holds a backtick.",
    query=f"label_values({found('connected')}, client_id)",
    everyone=False,
)

_CHANGES = f"changes({found('connected')}[$__range])"

#: The client ids that one panel asks for: to look for them in the panel's own query would mean to
#: compare all clients at each moment, which takes minutes where there are 50,000.
RESTLESS = Variable(
    "restless",
    "Clients that came and went most",
    "Made from the other choices.",
    query=f"query_result(topk(20, max by (client_id) ({_CHANGES}) > 0))",
    extract=r'\{client_id="([\s\S]*)"\} \S+ \d+$',
)
