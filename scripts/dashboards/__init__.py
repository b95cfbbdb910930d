"""The dashboards of ``examples/grafana/`` as data, and what turns them into Grafana's JSON.

::

    queries.py                    which series a query takes, and how presence is asked for
    panels.py                     what panels, rows and dashboards are
    variables.py                  the lists and text boxes at the top of a dashboard
    grafana.py                    all of these as Grafana's JSON
    fleet.py client.py agent.py   the three dashboards
    rendering.py                  plays a simulated cluster, asks the queries, and has all drawn
    draw.py charts.py values.py   draw the panels of a JSON file without a Grafana
    reading.py                    how names and values read
"""
