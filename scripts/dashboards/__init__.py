"""The dashboards of ``examples/grafana/`` as data, and what turns them into Grafana's JSON.

::

    queries.py                    which series a query takes, and how presence is asked for
    panels.py                     what panels, rows and dashboards are
    variables.py                  the lists and text boxes at the top of a dashboard
    grafana.py                    all of these as Grafana's JSON
    fleet.py client.py agent.py   the three dashboards
    draw.py                       draws the panels of a JSON file without a Grafana
"""
