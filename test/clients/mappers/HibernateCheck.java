import jakarta.persistence.*;
import java.math.BigDecimal;
import java.time.LocalDate;
import java.util.*;
import java.util.function.Function;
import org.hibernate.Session;
import org.hibernate.SessionFactory;
import org.hibernate.annotations.DynamicUpdate;
import org.hibernate.annotations.JdbcTypeCode;
import org.hibernate.boot.registry.BootstrapServiceRegistryBuilder;
import org.hibernate.cfg.Configuration;
import org.hibernate.type.SqlTypes;

/** Hibernate over pgjdbc. Each step's result as one JSON document; a failure as {"failed": message}. */
public class HibernateCheck {
  public enum Status { open, paid, shipped }

  /** Without DynamicUpdate every column is written back with every change, masked ones too, and that is refused. */
  @Entity(name = "Customer")
  @Table(name = "customers")
  @DynamicUpdate
  public static class Customer {
    @Id @GeneratedValue(strategy = GenerationType.IDENTITY) Integer id;
    @Column(columnDefinition = "text") String name;
    @Column(length = 120, unique = true) String email;
    @Column(columnDefinition = "text") String ssn;
    LocalDate born;
    @Column(precision = 12, scale = 2) BigDecimal balance = BigDecimal.ZERO;
    @Column(columnDefinition = "text") String region = "EU";
    @JdbcTypeCode(SqlTypes.ARRAY) @Column(columnDefinition = "text[]") String[] labels = {};
    @OneToMany(mappedBy = "customer", cascade = CascadeType.ALL, orphanRemoval = true) @OrderBy("id") List<Order> orders = new ArrayList<>();
    @ManyToMany @JoinTable(name = "customer_tags", joinColumns = @JoinColumn(name = "customer_id"), inverseJoinColumns = @JoinColumn(name = "tag_id"))
    @OrderBy("id") Set<Tag> tags = new LinkedHashSet<>();
  }

  @Entity(name = "Order")
  @Table(name = "orders")
  public static class Order {
    @Id @GeneratedValue(strategy = GenerationType.IDENTITY) Integer id;
    @ManyToOne(fetch = FetchType.LAZY) @JoinColumn(name = "customer_id") Customer customer;
    LocalDate placed;
    @Enumerated @JdbcTypeCode(SqlTypes.NAMED_ENUM) @Column(columnDefinition = "status") Status status = Status.open;
    @Column(precision = 12, scale = 2) BigDecimal total = BigDecimal.ZERO;
    @OneToMany(mappedBy = "order", cascade = CascadeType.ALL) @OrderBy("key.lineNo") List<Line> lines = new ArrayList<>();
  }

  @Embeddable
  public record LineKey(@Column(name = "order_id") Integer orderId, @Column(name = "line_no") Integer lineNo) {}

  @Entity(name = "Line")
  @Table(name = "order_lines")
  public static class Line {
    @EmbeddedId LineKey key;
    @MapsId("orderId") @ManyToOne(fetch = FetchType.LAZY) @JoinColumn(name = "order_id") Order order;
    @Column(columnDefinition = "text") String product;
    int quantity;
  }

  @Entity(name = "Tag")
  @Table(name = "tags")
  public static class Tag {
    @Id @GeneratedValue(strategy = GenerationType.IDENTITY) Integer id;
    @Column(columnDefinition = "text", unique = true) String label;
    int uses;
  }

  @Entity(name = "Made")
  @Table(name = "hibernated")
  public static class Made {
    @Id @GeneratedValue(strategy = GenerationType.SEQUENCE) @SequenceGenerator(name = "s", sequenceName = "hibernated_seq", allocationSize = 5) Integer id;
    @ManyToOne Customer customer;
    String note = "x";
  }

  static SessionFactory factory;
  static final Map<String, Object> results = new LinkedHashMap<>();

  static void step(String name, Function<Session, Object> what) {
    try {
      results.put(name, factory.fromTransaction(what::apply));
    } catch (RuntimeException error) {
      StringBuilder messages = new StringBuilder();
      for (Throwable each = error; each != null; each = each.getCause()) messages.append(each.getMessage()).append(" <- ");
      results.put(name, Map.of("failed", messages.toString()));
    }
  }

  static Map<String, Object> of(Customer c) {
    Map<String, Object> found = new LinkedHashMap<>();
    found.put("id", c.id);
    found.put("name", c.name);
    found.put("email", c.email);
    found.put("ssn", c.ssn);
    found.put("born", c.born);
    found.put("balance", c.balance);
    found.put("region", c.region);
    found.put("labels", Arrays.asList(c.labels));
    if (org.hibernate.Hibernate.isInitialized(c.orders)) found.put("orders", c.orders.stream().map(o -> o.id + " " + o.total).toList());
    if (org.hibernate.Hibernate.isInitialized(c.tags)) found.put("tags", c.tags.stream().map(t -> t.label).toList());
    return found;
  }

  static List<Object> customers(Session s, String query) {
    return s.createSelectionQuery(query, Customer.class).getResultList().stream().map(c -> (Object) of(c)).toList();
  }

  public static void main(String[] arguments) {
    // Run from its source, the class is in no loader that Hibernate would find by itself.
    Configuration configuration = new Configuration(
        new BootstrapServiceRegistryBuilder().applyClassLoader(HibernateCheck.class.getClassLoader()).build());
    for (Class<?> each : List.of(Customer.class, Order.class, Line.class, Tag.class, Made.class)) configuration.addAnnotatedClass(each);
    Map<String, String> env = System.getenv();
    configuration
        .setProperty("hibernate.connection.url", "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE"))
        .setProperty("hibernate.connection.username", env.get("PGUSER"))
        .setProperty("hibernate.connection.password", env.get("PGPASSWORD"))
        .setProperty("hibernate.connection.pool_size", "2")
        .setProperty("hibernate.jdbc.batch_size", "10")
        .setProperty("hibernate.order_inserts", "true")
        // Reads the catalog through JDBC's metadata, makes what is lacking, and checks the rest.
        .setProperty("hibernate.hbm2ddl.auto", arguments[0]);
    factory = configuration.buildSessionFactory();

    step("all", s -> customers(s, "from Customer order by id"));
    step("conditions", s -> customers(s, "from Customer where region in ('EU', 'US') and lower(name) like 'customer 1%' order by id desc"));
    step("a page", s -> s.createSelectionQuery("from Customer order by id", Customer.class).setFirstResult(4).setMaxResults(3).getResultList().stream().map(c -> (Object) of(c)).toList());
    step("join fetch", s -> customers(s, "from Customer c left join fetch c.orders where c.id < 4 order by c.id"));
    step("lazily", s -> s.find(Order.class, 9).customer.name);
    step("entity graph", s -> {
      EntityGraph<Customer> graph = s.createEntityGraph(Customer.class);
      graph.addAttributeNodes("tags");
      return of(s.find(Customer.class, 3, Map.of("jakarta.persistence.fetchgraph", graph)));
    });
    step("through a relation", s -> s.createSelectionQuery("select o.id, o.customer.email from Order o where o.customer.region = 'EU' and o.total > 300 order by o.id", Object[].class)
        .getResultList().stream().map(row -> (Object) pair("id", row[0], "email", row[1])).toList());
    step("exists, and sub-queries", s -> customers(s, "from Customer c where exists (from Order o where o.customer = c and o.total > 500) and c.id not in (select t.id from Tag t) order by c.id"));
    step("aggregates", s -> s.createSelectionQuery("select status, sum(total), count(*) from Order group by status having count(*) > 1 order by status", Object[].class).getResultList().stream().map(row -> (Object) Arrays.asList(row)).toList());
    step("windows, and common table expressions", s -> s.createSelectionQuery("with t as (select o.customer.id as who, sum(o.total) as total from Order o group by o.customer.id) select t.who, t.total, row_number() over (order by t.total, t.who) from t t order by t.who", Object[].class).getResultList().stream().map(row -> (Object) Arrays.asList(row)).toList());
    step("criteria", s -> {
      var builder = s.getCriteriaBuilder();
      var query = builder.createQuery(Customer.class);
      var root = query.from(Customer.class);
      query.where(builder.equal(root.get("region"), "US"), builder.greaterThan(root.get("id"), 5)).orderBy(builder.asc(root.get("id")));
      return s.createQuery(query).getResultList().stream().map(c -> (Object) of(c)).toList();
    });
    step("persist with cascade", s -> {
      Customer made = new Customer();
      made.name = "Hibernate";
      made.email = "hibernate@example.com";
      made.born = LocalDate.of(1999, 9, 9);
      for (int n = 1; n <= 3; n++) {
        Order order = new Order();
        order.customer = made;
        order.placed = LocalDate.of(2026, 12, n);
        made.orders.add(order);
      }
      made.tags.add(s.find(Tag.class, 2));
      s.persist(made);
      s.flush();
      s.clear();
      return of(s.find(Customer.class, made.id));
    });
    step("lines in a batch", s -> {
      Order order = s.createSelectionQuery("from Order where customer.name = 'Hibernate' order by id", Order.class).setMaxResults(1).getSingleResult();
      for (int n = 1; n <= 25; n++) {
        Line line = new Line();
        line.key = new LineKey(order.id, n);
        line.order = order;
        line.product = "p";
        line.quantity = n;
        s.persist(line);
      }
      s.flush();
      return s.createSelectionQuery("select count(*) from Line where order.id = " + order.id, Long.class).getSingleResult();
    });
    step("change", s -> {
      Customer found = s.createSelectionQuery("from Customer where name = 'Hibernate'", Customer.class).getSingleResult();
      found.region = "AP";
      s.flush();
      s.refresh(found);
      return of(found);
    });
    step("merge", s -> {
      Tag tag = new Tag();
      tag.label = "hibernate";
      s.persist(tag);
      s.flush();
      s.detach(tag);
      tag.uses = 4;
      return s.merge(tag).uses;
    });
    step("upsert", s -> s.createMutationQuery("insert into Tag (label, uses) values ('hibernate', 1) on conflict (label) do update set uses = uses + 1").executeUpdate());
    step("update and delete of many", s -> List.of(
        s.createMutationQuery("update Order set total = total + 1 where customer.id in (select id from Customer where name = 'Hibernate')").executeUpdate(),
        s.createMutationQuery("delete from Line where order.id in (select o.id from Order o where o.customer.name = 'Hibernate')").executeUpdate()));
    step("locks", s -> of(s.find(Customer.class, 6, LockModeType.PESSIMISTIC_WRITE)));
    step("rolled back", s -> {
      try (Session other = factory.openSession()) {
        other.beginTransaction();
        other.createMutationQuery("delete from Line where order.id = 5").executeUpdate();
        other.getTransaction().rollback();
      }
      return s.createSelectionQuery("select count(*) from Line where order.id = 5", Long.class).getSingleResult();
    });
    step("scrolled", s -> {
      List<Object> found = new ArrayList<>();
      try (var cursor = s.createSelectionQuery("from Customer order by id", Customer.class).setFetchSize(5).scroll(org.hibernate.ScrollMode.FORWARD_ONLY)) {
        while (cursor.next()) found.add(of(cursor.get()));
      }
      return found;
    });
    step("native", s -> s.createNativeQuery("select id, email from customers where id = :id", Object[].class).setParameter("id", 5).getResultList().stream().map(row -> (Object) pair("id", row[0], "email", row[1])).toList());
    step("a table that was made", s -> {
      Made made = new Made();
      made.customer = s.find(Customer.class, 1);
      s.persist(made);
      s.flush();
      return made.id;
    });
    step("remove", s -> {
      s.remove(s.createSelectionQuery("from Customer where name = 'Hibernate'", Customer.class).getSingleResult());
      return null;
    });
    factory.close();
    System.out.println(json(results));
  }

  static Map<String, Object> pair(String a, Object x, String b, Object y) {
    Map<String, Object> found = new LinkedHashMap<>();
    found.put(a, x);
    found.put(b, y);
    return found;
  }

  static String json(Object value) {
    if (value == null || value instanceof Number && !(value instanceof BigDecimal) || value instanceof Boolean) return String.valueOf(value);
    if (value instanceof Map<?, ?> map) {
      StringJoiner all = new StringJoiner(",", "{", "}");
      map.forEach((key, each) -> all.add(json(key) + ":" + json(each)));
      return all.toString();
    }
    if (value instanceof Collection<?> list) {
      StringJoiner all = new StringJoiner(",", "[", "]");
      list.forEach(each -> all.add(json(each)));
      return all.toString();
    }
    StringBuilder text = new StringBuilder("\"");
    for (char each : value.toString().toCharArray()) {
      if (each == '"' || each == '\\') text.append('\\').append(each);
      else if (each < ' ') text.append(String.format("\\u%04x", (int) each));
      else text.append(each);
    }
    return text.append('"').toString();
  }
}
