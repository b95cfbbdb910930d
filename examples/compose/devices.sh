#!/bin/sh
# MQTT clients that make traffic: sensor-1, sensor-2, ... stay connected and publish every 2 seconds;
# "visitor" comes for a minute, listens to them, and is away for a minute.
# Usage: devices.sh HOST PORT COUNT
host=$1
port=$2
count=$3

sensor() { # one connection for all messages, and another one if the broker was away
    while :; do
        while date -u +%s; do sleep 2; done |
            mosquitto_pub -h "$host" -p "$port" -i "sensor-$1" -t "sensors/$1" -q 1 -l
        sleep 5
    done
}

for number in $(seq "$count"); do
    sensor "$number" &
done
while :; do
    mosquitto_sub -h "$host" -p "$port" -i visitor -t 'sensors/#' -q 1 -W 60 >/dev/null
    sleep 60
done
