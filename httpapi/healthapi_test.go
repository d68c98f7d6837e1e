package httpapi

import (
	"testing"
)

func TestHealthAnswers(t *testing.T) {
	const (
		pgUp = `{"Node":"db-1","CheckID":"pg up","Name":"pg up","Status":"passing","Notes":"","Output":"","ServiceID":"pg","ServiceName":"pg","ServiceTags":["primary","Blue"],` +
			`"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":5,"ModifyIndex":5}`
		disk = `{"Node":"db-1","CheckID":"disk","Name":"Disk","Status":"warning","Notes":"of data","Output":"80%","ServiceID":"","ServiceName":"","ServiceTags":[],` +
			`"Type":"script","Interval":"10s","Timeout":"1s","ExposedPort":0,"Definition":{},"CreateIndex":6,"ModifyIndex":6}`
		serf = `{"Node":"node-1","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Notes":"","Output":"Agent alive and reachable",` +
			`"ServiceID":"","ServiceName":"","ServiceTags":[],"Type":"","Interval":"","Timeout":"","ExposedPort":0,"Definition":{},"CreateIndex":4,"ModifyIndex":4}`
		health = `{"Node":` + dbNode + `,"Service":` + dbService + `,"Checks":[` + disk + "," + pgUp + `]}`
	)
	s := newLocalServer(t)
	mustRegister(t, s.Server, dbRegistered)
	mustRegister(t, s.Server, `{"Node":"db-1","Address":"192.0.2.5","SkipNodeUpdate":true,"Check":{"CheckID":"disk","Name":"Disk","Status":"warning","Notes":"of data","Output":"80%","Type":"script","Interval":"10s","Timeout":"1s"}}`)
	play(t, s, []line{
		{"checks of a node", "GET /v1/health/node/db-1", 200, "[" + disk + "," + pgUp + "]"},
		{"its name ignores case", "GET /v1/health/node/Node-1", 200, "[" + serf + "]"},
		{"a filter", "GET /v1/health/node/db-1?filter=Status%3D%3Dpassing", 200, "[" + pgUp + "]"},
		{"a filter over what is not there", "GET /v1/health/node/db-1?filter=Bogus%3D%3D1", 500, `Failed to create boolean expression evaluator: …`},
		{"no such node", "GET /v1/health/node/none", 200, "[]"},
		{"no node", "GET /v1/health/node/", 400, "Missing node name"},

		{"a service's own checks", "GET /v1/health/checks/pg", 200, "[" + pgUp + "]"},
		{"its name ignores case", "GET /v1/health/checks/PG", 200, "[" + pgUp + "]"},
		{"on nodes with a pair of the metadata", "GET /v1/health/checks/pg?node-meta=rack:8", 200, "[" + pgUp + "]"},
		{"on none", "GET /v1/health/checks/pg?node-meta=rack:7", 200, "[]"},
		{"a service without checks", "GET /v1/health/checks/consul", 200, "[]"},
		{"no such service", "GET /v1/health/checks/none", 200, "[]"},
		{"no service", "GET /v1/health/checks/", 400, "Missing service name"},

		{"all checks", "GET /v1/health/state/any", 200, "[" + disk + "," + pgUp + "," + serf + "]"},
		{"those in a state", "GET /v1/health/state/passing", 200, "[" + pgUp + "," + serf + "]"},
		{"those in another", "GET /v1/health/state/warning", 200, "[" + disk + "]"},
		{"those that are in need", "GET /v1/health/state/critical", 200, "[]"},
		{"a state that is none", "GET /v1/health/state/bogus", 200, "[]"},
		{"on nodes with a pair of the metadata", "GET /v1/health/state/any?node-meta=rack:7", 200, "[" + serf + "]"},
		{"no state", "GET /v1/health/state/", 400, "Missing check state"},

		{"a service with its node and the checks of both", "GET /v1/health/service/pg", 200, "[" + health + "]"},
		{"its name ignores case", "GET /v1/health/service/Pg", 200, "[" + health + "]"},
		{"not all its checks pass", "GET /v1/health/service/pg?passing", 200, "[]"},
		{"nor with the value true", "GET /v1/health/service/pg?passing=1", 200, "[]"},
		{"passing may be off", "GET /v1/health/service/pg?passing=false", 200, "[" + health + "]"},
		{"or nonsense", "GET /v1/health/service/pg?passing=zz", 400, "Invalid value for ?passing"},
		{"with all tags", "GET /v1/health/service/pg?tag=PRIMARY&tag=blue", 200, "[" + health + "]"},
		{"a tag is missing", "GET /v1/health/service/pg?tag=primary&tag=x", 200, "[]"},
		{"on nodes with a pair of the metadata", "GET /v1/health/service/pg?node-meta=rack:8", 200, "[" + health + "]"},
		{"on none", "GET /v1/health/service/pg?node-meta=rack:7", 200, "[]"},
		{"a filter over the node", "GET /v1/health/service/pg?filter=Node.Meta.rack%3D%3D8", 200, "[" + health + "]"},
		{"a filter over checks", "GET /v1/health/service/pg?filter=any+Checks+as+c+%7B+c.Status%3D%3Dcritical+%7D", 200, "[]"},
		{"a service without checks passes by those of its node", "GET /v1/health/service/consul?passing", 200, `[{"Node":` + oneNode + `,"Service":{"ID":"consul"…`},
		{"no such service", "GET /v1/health/service/none", 200, "[]"},
		{"no service", "GET /v1/health/service/", 400, "Missing service name"},

		{"when the node is well again", `PUT /v1/catalog/register {"Node":"db-1","SkipNodeUpdate":true,"Check":{"CheckID":"disk","Status":"passing"}}`, 200, "true"},
		{"all its checks pass", "GET /v1/health/service/pg?passing", 200, `[{"Node":` + dbNode + `…`},
	}...)
}
